"""Pictures of what a training did, by matplotlib (``pip install sennit[viz]``)."""

from __future__ import annotations

from .pictures import curves, image_grid

__all__ = ["curves", "image_grid"]
