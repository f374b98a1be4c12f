"""NVIDIA GPUs: what is there, their memory, and what still runs on the CPU.

Nothing of CUDA is looked for before the first use of ``"cuda"``. See docs/gpu.md.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from . import _core
from ._core import InvalidValue
from ._cuda_kernel import CompileError, Kernel, kernel
from ._errors import error

__all__ = [
    "CompileError",
    "FallbackReport",
    "Kernel",
    "compile_log",
    "current_device",
    "device_count",
    "empty_cache",
    "fallbacks",
    "get_device_capability",
    "get_device_name",
    "is_available",
    "kernel",
    "load_pack",
    "max_memory_allocated",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_fallbacks",
    "reset_peak_memory_stats",
    "set_per_process_memory_fraction",
    "synchronize",
]

Device = int | str | None


def _package_folders() -> list[str]:
    """Where NVIDIA's wheels may lie: folders of packages that hold one named nvidia."""
    beside = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    folders = dict.fromkeys([beside, *sys.path])
    return [f for f in folders if f and os.path.isdir(os.path.join(f, "nvidia"))]


def _index(device: Any) -> int:
    """The number of a CUDA device that is given as PyTorch takes it."""
    if device is None:
        return 0
    if isinstance(device, int):
        return device
    kind, _, number = str(device).partition(":")
    if kind != "cuda" or (number and not number.isdigit()):
        raise error(
            InvalidValue,
            "cuda",
            f"the device is {device!r}; it must be a number, or 'cuda' or 'cuda:<number>'",
        )
    return int(number or 0)


def _name(device: Any) -> str:
    return f"cuda:{_index(device)}"


def is_available() -> bool:
    """Whether "cuda" can be used; `sn.doctor()` says what is missing if not.

    Examples
    --------
    >>> device = "cuda" if sn.cuda.is_available() else "cpu"
    """
    return not _core.unavailable_reason("cuda")


def device_count() -> int:
    """Number of GPUs that can be used; 0 without CUDA.

    Examples
    --------
    >>> sn.cuda.device_count() >= 0
    True
    """
    return _core.device_count("cuda")


def current_device() -> int:
    """The device that "cuda" means: always 0. Name others as "cuda:1".

    Examples
    --------
    >>> sn.cuda.current_device()
    0
    """
    return 0


def get_device_name(device: Device = None) -> str:
    """A GPU's name.

    Raises
    ------
    DeviceError
        When there is none of that number, saying what is missing.

    Examples
    --------
    >>> names = [sn.cuda.get_device_name(i) for i in range(sn.cuda.device_count())]
    """
    name: str = _core.cuda_properties(_index(device))["name"]
    return name


def get_device_capability(device: Device = None) -> tuple[int, int]:
    """A GPU's compute capability, such as (9, 0).

    Examples
    --------
    >>> all(sn.cuda.get_device_capability(i) >= (5, 0) for i in range(sn.cuda.device_count()))
    True
    """
    major, minor = _core.cuda_properties(_index(device))["capability"]
    return (major, minor)


def synchronize(device: Device = None) -> None:
    """Waits for everything that has been recorded and for a device; raises what failed.

    Examples
    --------
    >>> if sn.cuda.is_available():
    ...     sn.cuda.synchronize()
    """
    _core.cuda_synchronize(_index(device))


def memory_stats(device: Device = None) -> dict[str, int]:
    """Bytes in use, at peak, cached and reserved of a device, as `sn.memory.stats` of it.

    Examples
    --------
    >>> if sn.cuda.is_available():
    ...     print(sn.cuda.memory_stats()["in_use"])
    """
    return _core.memory_stats(_name(device))


def memory_allocated(device: Device = None) -> int:
    """Bytes that tensors hold.

    Examples
    --------
    >>> in_use = sn.cuda.memory_allocated() if sn.cuda.is_available() else 0
    """
    return memory_stats(device)["in_use"]


def max_memory_allocated(device: Device = None) -> int:
    """The most bytes that tensors have held since the start or `reset_peak_memory_stats`.

    Examples
    --------
    >>> peak = sn.cuda.max_memory_allocated() if sn.cuda.is_available() else 0
    """
    return memory_stats(device)["peak"]


def memory_reserved(device: Device = None) -> int:
    """Bytes that this process holds of the device: those of tensors and those kept for later ones.

    Examples
    --------
    >>> held = sn.cuda.memory_reserved() if sn.cuda.is_available() else 0
    """
    return memory_stats(device)["reserved"]


def reset_peak_memory_stats(device: Device = None) -> None:
    """Sets the peak to what is in use now.

    Examples
    --------
    >>> if sn.cuda.is_available():
    ...     sn.cuda.reset_peak_memory_stats()
    """
    _core.reset_peak(_name(device))


def empty_cache(device: Device = None) -> int:
    """Gives memory that no tensor uses back to the device; returns how many bytes.

    Examples
    --------
    >>> freed = sn.cuda.empty_cache() if sn.cuda.is_available() else 0
    """
    return _core.release_cached(_name(device))


def mem_get_info(device: Device = None) -> tuple[int, int]:
    """Free and total bytes of a device, all processes considered.

    Examples
    --------
    >>> free, total = sn.cuda.mem_get_info() if sn.cuda.is_available() else (0, 0)
    """
    free, total = _core.cuda_memory_info(_index(device))
    return (free, total)


def set_per_process_memory_fraction(fraction: float, device: Device = None) -> None:
    """Caps the memory that this process takes of a device; more than that is an out-of-memory
    error.

    Parameters
    ----------
    fraction : float
        Of the device's memory, from 0 (exclusive) to 1.

    Raises
    ------
    InvalidValue
        When the fraction is outside of that.

    Examples
    --------
    >>> if sn.cuda.is_available():
    ...     sn.cuda.set_per_process_memory_fraction(0.5)
    """
    if not 0 < fraction <= 1:
        raise error(
            InvalidValue,
            "set_per_process_memory_fraction",
            f"the fraction is {fraction}; it must be more than 0 and at most 1",
        )
    at = _index(device)
    _core.cuda_set_memory_limit(at, int(fraction * mem_get_info(at)[1]))


class FallbackReport(dict[str, int]):
    """How often each op ran on the CPU, as `fallbacks` returns it; prints as a table.

    Examples
    --------
    >>> print(sn.cuda.FallbackReport(sort=2))
    ran on the CPU, through copies:
      sort  2
    """

    def __str__(self) -> str:
        if not self:
            return "everything ran on the device"
        wide = max(len(name) for name in self)
        rows = sorted(self.items(), key=lambda item: -item[1])
        return "\n".join(
            ["ran on the CPU, through copies:"]
            + [f"  {name.ljust(wide)}  {count:,}" for name, count in rows]
        )


def fallbacks() -> FallbackReport:
    """Which ops of CUDA tensors have run on the CPU in this process, and how often.

    An op that has no CUDA kernel runs on the CPU: the device is waited for, operands are copied to
    the host, and results back. The result is right, and slow.

    Returns
    -------
    FallbackReport
        A dict from the op's name to its number of runs.

    Examples
    --------
    >>> print(sn.cuda.fallbacks())
    everything ran on the device
    """
    return FallbackReport(_core.cuda_host_runs())


def reset_fallbacks() -> None:
    """Counts from zero again.

    Examples
    --------
    >>> sn.cuda.reset_fallbacks()
    """
    _core.cuda_reset_host_runs()


def compile_log() -> list[dict[str, Any]]:
    """The kernels that this process has made ready, in order.

    Returns
    -------
    list of dict
        "name" of the source, "entry" of the kernel, "source" of its code ("compiled", "disk" for
        the cache, "pack" for a file of `load_pack`), and the "seconds" that it took.

    Examples
    --------
    >>> [e["entry"] for e in sn.cuda.compile_log() if e["source"] == "compiled"]
    []
    """
    keys = ("name", "entry", "source", "seconds")
    return [dict(zip(keys, event, strict=True)) for event in _core.cuda_code_log()]


def load_pack(path: str | os.PathLike[str]) -> None:
    """Takes compiled kernels from a file that ``sennit cuda-pack`` made, before the first use of a
    GPU: with them, a machine without NVRTC runs the program that the file was made of.
    ``SENNIT_CUDA_PACK`` names a file that every process loads.

    Raises
    ------
    FileError
        When the file is damaged, none of these, or of another version of Sennit.
    DeviceError
        When the driver cannot load what the compiler made.

    Examples
    --------
    >>> sn.cuda.load_pack("no such file")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    FileError: ...
    """
    _core.cuda_load_pack(os.fspath(path))
