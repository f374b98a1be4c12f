"""The optimiser tests share a module that lies beside them: optimizer_cases."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
