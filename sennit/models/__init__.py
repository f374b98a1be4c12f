"""Well-known networks, with the module names that published weights use."""

from __future__ import annotations

from .bert import *  # noqa: F403
from .bert import __all__ as _bert
from .lenet import *  # noqa: F403
from .lenet import __all__ as _lenet
from .mobilenet import *  # noqa: F403
from .mobilenet import __all__ as _mobilenet
from .resnet import *  # noqa: F403
from .resnet import __all__ as _resnet
from .vgg import *  # noqa: F403
from .vgg import __all__ as _vgg

__all__ = [*_bert, *_lenet, *_mobilenet, *_resnet, *_vgg]  # noqa: PLE0604
