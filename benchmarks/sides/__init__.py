"""One class per library: see `benchmarks/libraries.py`."""
