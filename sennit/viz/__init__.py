"""Pictures: of what a training did (matplotlib, ``pip install sennit[viz]``), of graphs and of
their memory."""

from __future__ import annotations

from .pictures import curves, image_grid
from .plans import plan
from .tensorboard import add_graph

__all__ = ["add_graph", "curves", "image_grid", "plan"]
