"""What Sennit finds on this machine, in words and as values: `doctor`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from . import _core

__all__ = ["Diagnosis", "doctor"]

_PACKAGES = ("numpy", "rich", "tensorboardX", "matplotlib", "ml_dtypes")


@dataclass(frozen=True)
class LibraryReport:
    """One of NVIDIA's libraries: where it was found, or where it was looked for."""

    name: str
    found: str = ""  # its path; empty: not there
    version: str = ""
    problem: str = ""  # why it cannot be used, with what to do
    looked: tuple[str, ...] = ()  # places without it, each with the reason


@dataclass(frozen=True)
class DeviceReport:
    """A GPU: its name, compute capability, multiprocessors, and bytes of memory."""

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    memory: int


@dataclass(frozen=True)
class CudaReport:
    """What there is of CUDA."""

    available: bool
    problem: str  # why not, with what to do
    libraries: tuple[LibraryReport, ...]  # the driver, NVRTC, cuBLASLt
    devices: tuple[DeviceReport, ...]
    cache: str  # where compiled kernels are kept
    cache_writable: bool


class Diagnosis(str):
    """A text to read, or to paste into a report, whose parts are attributes too.

    Attributes
    ----------
    version, numerics, python, platform, processor, instruction_set : str or int
    threads, threads_reason : int, str
        How many work on an operation, and why.
    memory_limit : int
        Bytes that this process may use.
    cpu_devices : int
    cuda : CudaReport
        ``available``, ``problem``, ``libraries``, ``devices``, ``cache``, ``cache_writable``.
    packages : dict of str to str
        Versions of optional packages; empty where one is not installed.

    Examples
    --------
    >>> sn.doctor().cpu_devices >= 1
    True
    """

    version: str
    numerics: int
    python: str
    platform: str
    processor: str
    instruction_set: str
    threads: int
    threads_reason: str
    memory_limit: int
    cpu_devices: int
    cuda: CudaReport
    packages: dict[str, str]

    def __repr__(self) -> str:
        return str(self)


def _processor() -> str:
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith(("model name", "Model")):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _writable(folder: str) -> bool:
    """Whether files can be made in a folder that may not be there yet."""
    while folder and not os.path.exists(folder):
        above = os.path.dirname(folder)
        if above == folder:
            return False
        folder = above
    return bool(folder) and os.path.isdir(folder) and os.access(folder, os.W_OK)


def _cuda() -> CudaReport:
    problem = _core.unavailable_reason("cuda")
    found = _core.cuda_report()
    driver, compiler, blas = found["driver"], found["compiler"], found["blas"]
    devices = []
    if not driver["problem"]:
        for i in range(driver["devices"]):
            p = _core.cuda_properties(i)
            devices.append(
                DeviceReport(p["name"], p["capability"], p["multiprocessors"], p["memory"])
            )
    versions = (
        f"CUDA {driver['version'] // 1000}.{driver['version'] % 1000 // 10}",
        f"{compiler['version'][0]}.{compiler['version'][1]}",
        f"{blas['version'] // 10000}.{blas['version'] // 100 % 100}.{blas['version'] % 100}",
    )
    libraries = tuple(
        LibraryReport(
            name, part["found"], version if part["found"] else "", part["problem"],
            tuple(part["looked"]),
        )
        for name, part, version in zip(
            ("driver", "NVRTC", "cuBLASLt"), (driver, compiler, blas), versions, strict=True
        )
    )  # fmt: skip
    cache = found["cache"]
    return CudaReport(not problem, problem, libraries, tuple(devices), cache, _writable(cache))


def _cuda_lines(cuda: CudaReport) -> list[str]:
    lines = [f"cuda: {'available' if cuda.available else 'not available: ' + cuda.problem}"]
    for library in cuda.libraries:
        if library.found:
            lines.append(f"  {library.name}: {library.version}, {library.found}")
        else:
            lines.append(f"  {library.name}: not found")
        if library.problem and library.problem != cuda.problem:
            lines.append(f"    {library.problem}")
        if not library.found:
            lines += [f"    looked at {place}" for place in library.looked]
    for i, device in enumerate(cuda.devices):
        major, minor = device.capability
        lines.append(
            f"  cuda:{i}: {device.name}, compute capability {major}.{minor}, "
            f"{device.multiprocessors} multiprocessors, {device.memory / 2**30:.1f} GiB"
        )
    if not cuda.cache:
        lines.append("  compiled kernels are not kept: there is no cache folder (SENNIT_CACHE)")
    elif cuda.available:
        state = "" if cuda.cache_writable else ", which cannot be written: each process compiles"
        lines.append(f"  compiled kernels are kept in {cuda.cache}{state}")
    return lines


def doctor() -> Diagnosis:
    """What Sennit found on this machine: processor, threads and why, memory, CUDA, versions.

    For CUDA it says what was looked for and where, what was found, and what to install if
    something is missing. Asking looks for CUDA, as its first use does.

    Returns
    -------
    Diagnosis
        A str, whose parts are attributes too: ``sn.doctor().cuda.available``.

    Examples
    --------
    >>> report = sn.doctor()
    >>> "threads" in report, report.threads == sn.num_threads()
    (True, True)
    """
    import platform
    from importlib.metadata import PackageNotFoundError, version
    from types import SimpleNamespace

    from . import __version__, numerics_version

    packages = {}
    for package in _PACKAGES:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = ""
    found = SimpleNamespace(
        version=__version__,
        numerics=numerics_version,
        python=sys.version.split()[0],
        platform=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        instruction_set=_core.isa(),
        threads=_core.num_threads(),
        threads_reason=_core.threads_reason().partition(": ")[2],
        memory_limit=_core.memory_limit(),
        cpu_devices=_core.device_count("cpu"),
        cuda=_cuda(),
        packages=packages,
    )
    lines = [
        f"sennit {found.version} (numerics {found.numerics}), Python {found.python}, "
        f"{found.platform}",
        f"processor: {found.processor}",
        f"instruction set: {found.instruction_set} (SENNIT_ISA forces another)",
        f"threads: {found.threads} ({found.threads_reason})",
        f"memory limit: {found.memory_limit / 2**30:.1f} GiB",
        f"cpu devices: {found.cpu_devices}",
        *_cuda_lines(found.cuda),
        *(f"{name}: {known or 'not installed'}" for name, known in packages.items()),
    ]
    made = Diagnosis("\n".join(lines))
    vars(made).update(vars(found))
    return made
