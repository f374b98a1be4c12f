"""The workloads. Each module lists its own in `WORKLOADS`; none imports a library but NumPy."""
