"""Peak memory of a few training steps in a process of its own: RSS less RSS after import.

python -m benchmarks.footprint sennit|torch|torch-last mlp|cnn THREADS
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

STEPS = 12


def status(field: str) -> int:
    """Bytes of a field of this process's memory."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return int(found.group(1)) * 1024 if found else 0


def peak_of_steps(library: str, kind: str, threads: int) -> int:
    from benchmarks.models import training_step
    from benchmarks.peers import Peer, Sennit, Torch

    peer: Peer = Sennit() if library == "sennit" else Torch()
    peer.set_threads(threads)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts here
    before = status("VmRSS")
    training_step(peer, kind, library.endswith("last"))(STEPS)
    return status("VmHWM") - before


def measure_footprint(library: str, kind: str, threads: int) -> int:
    command = [sys.executable, "-m", "benchmarks.footprint", library, kind, str(threads)]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    return int(done.stdout)


if __name__ == "__main__":
    print(peak_of_steps(sys.argv[1], sys.argv[2], int(sys.argv[3])))
