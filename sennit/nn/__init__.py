"""Layers, losses and initial values, with the names and semantics of ``torch.nn``."""

from __future__ import annotations

from . import functional, init, utils
from .activation import *  # noqa: F403
from .activation import __all__ as _activation
from .attention import *  # noqa: F403
from .attention import __all__ as _attention
from .containers import *  # noqa: F403
from .containers import __all__ as _containers
from .conv import *  # noqa: F403
from .conv import __all__ as _conv
from .distance import *  # noqa: F403
from .distance import __all__ as _distance
from .dropout import *  # noqa: F403
from .dropout import __all__ as _dropout
from .lazy import *  # noqa: F403
from .lazy import __all__ as _lazy
from .linear import *  # noqa: F403
from .linear import __all__ as _linear
from .loss import *  # noqa: F403
from .loss import __all__ as _loss
from .module import Module
from .normalization import *  # noqa: F403
from .normalization import __all__ as _normalization
from .padding import *  # noqa: F403
from .padding import __all__ as _padding
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter
from .pooling import *  # noqa: F403
from .pooling import __all__ as _pooling
from .recurrent import *  # noqa: F403
from .recurrent import __all__ as _recurrent
from .resampling import *  # noqa: F403
from .resampling import __all__ as _resampling
from .transformer import *  # noqa: F403
from .transformer import __all__ as _transformer

__all__ = [  # noqa: PLE0604
    "Buffer",
    "Module",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "functional",
    "init",
    "utils",
    *_activation,
    *_attention,
    *_containers,
    *_conv,
    *_distance,
    *_dropout,
    *_lazy,
    *_linear,
    *_loss,
    *_normalization,
    *_padding,
    *_pooling,
    *_recurrent,
    *_resampling,
    *_transformer,
]
