"""Sennit beside PyTorch, both in one run: `python -m benchmarks --help`."""
