"""Layers, losses and initial values, with the names and semantics of ``torch.nn``."""

from __future__ import annotations

from . import functional, graph, init, utils
from .activation import *  # noqa: F403
from .activation import __all__ as _activation
from .attention import *  # noqa: F403
from .attention import __all__ as _attention
from .containers import *  # noqa: F403
from .containers import __all__ as _containers
from .conv import *  # noqa: F403
from .conv import __all__ as _conv
from .conv_recurrent import *  # noqa: F403
from .conv_recurrent import __all__ as _conv_recurrent
from .distance import *  # noqa: F403
from .distance import __all__ as _distance
from .dropout import *  # noqa: F403
from .dropout import __all__ as _dropout
from .embedding_bag import *  # noqa: F403
from .embedding_bag import __all__ as _embedding_bag
from .kv_cache import *  # noqa: F403
from .kv_cache import __all__ as _kv_cache
from .lazy import *  # noqa: F403
from .lazy import __all__ as _lazy
from .linear import *  # noqa: F403
from .linear import __all__ as _linear
from .lora import *  # noqa: F403
from .lora import __all__ as _lora
from .loss import *  # noqa: F403
from .loss import __all__ as _loss
from .loss_extra import *  # noqa: F403
from .loss_extra import __all__ as _loss_extra
from .loss_margin import *  # noqa: F403
from .loss_margin import __all__ as _loss_margin
from .module import Module
from .moe import *  # noqa: F403
from .moe import __all__ as _moe
from .normalization import *  # noqa: F403
from .normalization import __all__ as _normalization
from .padding import *  # noqa: F403
from .padding import __all__ as _padding
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter
from .pooling import *  # noqa: F403
from .pooling import __all__ as _pooling
from .positions import *  # noqa: F403
from .positions import __all__ as _positions
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
    "graph",
    "init",
    "utils",
    *_activation,
    *_attention,
    *_containers,
    *_conv,
    *_conv_recurrent,
    *_embedding_bag,
    *_kv_cache,
    *_distance,
    *_dropout,
    *_lazy,
    *_linear,
    *_lora,
    *_loss,
    *_loss_extra,
    *_loss_margin,
    *_moe,
    *_normalization,
    *_padding,
    *_pooling,
    *_positions,
    *_recurrent,
    *_resampling,
    *_transformer,
]
