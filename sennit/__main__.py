"""``python -m sennit`` is the command ``sennit``."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
