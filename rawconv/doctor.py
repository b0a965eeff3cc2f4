"""What works on this machine, and the one command that mends what does not.

report = examine("auto")     {"device", "works", "why", "findings": [Finding, ...]}
Nothing heavy is imported at the top: what is broken must be reported, not raised.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import math
import os
import platform
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from .errors import UsageError
from .machine import environment, launchers, limits

EXTRAS = {("cuda", 12): ("cuda12", "cupy-cuda12x"), ("cuda", 13): ("cuda13", "cupy-cuda13x"),
          ("rocm", 7): ("rocm", "cupy-rocm-7-0")}  # fmt: skip
NEW_DRIVER = "install NVIDIA driver 525 or newer from https://www.nvidia.com/drivers"
MAKERS = {0x10DE: "NVIDIA", 0x1002: "AMD"}  # by their numbers on the PCI bus
DRIVERS = {
    "NVIDIA": ("start the container with --gpus all", NEW_DRIVER),
    "AMD": (
        "start the container with --device /dev/kfd --device /dev/dri",
        "install ROCm 7 from https://rocm.docs.amd.com",
    ),
}  # in a container, outside of one
SHOW = "python -c 'import cupy; cupy.show_config()'"


Driver = tuple[str | None, tuple[int, ...]]  # ("cuda", (12, 4)), ("rocm", (7,)) or (None, ())


class Finding(NamedTuple):
    """The state of one part.  state: "ok", "missing" (rawconv works without it) or "broken".
    remedy: the command that mends it.
    """

    name: str
    state: str
    text: str
    remedy: str | None = None


def examine(name: str = "auto") -> dict[str, Any]:
    """Examine everything; say whether the device `name` (auto, cpu, gpu or gpu:N) works, and if not why.

    UsageError: `name` is no device.
    """
    findings = [
        _python(),
        *_memory(),
        _library("NumPy", "numpy"),
        _numba(),
        *_loops(),
        _blas(),
        _threads(),
        *_gpu(),
        _mpi(),
    ]
    device, why = _choose(name)
    if device.startswith("gpu") and not why:
        findings.append(_kernel(int(device[4:])))
        why = _first(findings[-1:], ["kernel"], ["broken"])
    elif device.startswith("gpu"):
        why = _first(findings, ["CuPy", "GPU"], ["missing", "broken"]) or why
    why = _first(findings[::-1], ["memory", "NumPy", "Numba", "threads"], ["broken"]) or why
    return {"device": device, "works": why is None, "why": why, "findings": findings}


def _first(findings: Sequence[Finding], names: Sequence[str], states: Sequence[str]) -> str | None:
    """Return "name: text" of the first finding of these names in one of these states; None where
    there is none.
    """
    return next(
        (
            f"{finding.name}: {finding.text}"
            for finding in findings
            if finding.name in names and finding.state in states
        ),
        None,
    )


def _choose(name: str) -> tuple[str, str | None]:
    """Return (the device that a command would use, why there is none)."""
    from .machine.arrays import choose_device

    try:
        return str(choose_device(name)), None
    except UsageError:
        raise
    except Exception as error:
        return name, _line(error)


def _line(error: BaseException) -> str:
    return " ".join(f"{error}".split()) or type(error).__name__


# The host


def _python() -> Finding:
    return Finding(
        "Python", "ok", f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    )


def _memory() -> Iterator[Finding]:
    if limits.address_space() < environment.LEAST:
        text = f"ulimit -v grants {int(limits.address_space()) >> 20} MB; libraries may hang or crash below 1024 MB"
        yield Finding("memory", "broken", text, "ulimit -v unlimited")


def _library(name: str, module: str) -> Finding:
    try:
        return Finding(name, "ok", importlib.import_module(module).__version__)
    except Exception as error:
        return Finding(name, "broken", _line(error), f"pip install --force-reinstall {module}")


def _numba() -> Finding:
    reinstall = "pip install --force-reinstall numba"
    if any(_memory()):
        return Finding(
            "Numba",
            "missing",
            "not tried: it may crash with so little memory",
            "ulimit -v unlimited",
        )
    try:
        numba = environment.load_numba()
        if numba.njit(lambda n: n + 1)(41) != 42:
            raise ValueError("a compiled loop gives a wrong result")
    except UsageError as error:
        (variable, *_) = re.findall("NUMBA_[A-Z_]+", str(error))
        return Finding("Numba", "broken", _line(error), f"unset {variable}")
    except Exception as error:
        return Finding("Numba", "broken", _line(error), reinstall)
    return Finding("Numba", "ok", f"{numba.__version__}, compiles")


def _loops() -> Iterator[Finding]:
    """Examine the folders of compiled loops: damaged files, and folders that are full or cannot be
    written.
    """
    try:
        from .machine import numba_cache
    except Exception:  # Numba's finding says it
        return
    folders = numba_cache.folders()
    for folder in folders:
        if files := numba_cache.damaged(folder):
            text = f"{len(files)} kept in {folder} are damaged; each is compiled anew when it is needed"
            yield Finding("loops", "broken", text, f"rm {shlex.quote(str(folder))}/*.nbc")
    faults = [numba_cache.why_unwritable(folder) or "" for folder in folders]
    if "" in faults:
        yield Finding("loops", "ok", f"kept in {folders[faults.index('')]}")
    else:
        text = f"cannot be kept in {folders[-1]} ({faults[-1]}): each command compiles its own, up to half a minute"
        yield Finding("loops", "broken", text, _loops_remedy(faults[-1]))


def _loops_remedy(why: str) -> str:
    full = why in (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), os.strerror(errno.EFBIG))
    return (
        "df -h: free some space there"
        if full
        else "export NUMBA_CACHE_DIR=FOLDER, one that you may write to"
    )


def _blas() -> Finding:
    try:
        import numpy  # noqa: F401  (its library must be loaded to be seen)
        from threadpoolctl import threadpool_info
    except ImportError as error:
        return Finding(
            "BLAS", "broken", _line(error), "pip install --force-reinstall threadpoolctl"
        )
    libraries = {f"{i['internal_api']} {i['version']}, {i['num_threads']} threads": None
            for i in threadpool_info() if i["user_api"] == "blas"}  # fmt: skip
    if not libraries:
        text = "one whose threads cannot be set; beside rawconv's own they slow it down"
        return Finding("BLAS", "missing", text, "export OMP_NUM_THREADS=1 VECLIB_MAXIMUM_THREADS=1")
    return Finding(
        "BLAS", "ok", f"{'; '.join(libraries)} (rawconv sets 1 for each thread of its own)"
    )


def _threads() -> Finding:
    try:
        from .machine.threads import thread_count

        quota = limits.cpu_quota()
        bound = "" if quota == math.inf else f", a quota of {quota:g} by the container"
        return Finding(
            "threads", "ok", f"{thread_count()} of rawconv, {os.cpu_count()} cores{bound}"
        )
    except UsageError as error:
        return Finding("threads", "broken", _line(error), "unset RAWCONV_NUM_THREADS")
    except Exception as error:  # what else is broken has said so already
        return Finding("threads", "broken", _line(error))


def _mpi() -> Finding:
    return Finding("MPI", *launchers.state())


# The GPU


def driver() -> Driver:
    """Return ("cuda", (12, 4)): the newest CUDA that the installed driver can run; ("rocm", (7,
    0)); or (None, ()).
    """
    for library in ("libcuda.so.1", "nvcuda.dll"):
        with contextlib.suppress(OSError, AttributeError):
            number = ctypes.c_int()
            if ctypes.CDLL(library).cuDriverGetVersion(ctypes.byref(number)) == 0:
                return "cuda", (number.value // 1000, number.value % 1000 // 10)
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        text = subprocess.run(["nvidia-smi"], capture_output=True, text=True, timeout=30).stdout
        if match := re.search(r"CUDA Version:\s*(\d+)\.(\d+)", text):
            return "cuda", (int(match[1]), int(match[2]))
    if os.path.exists("/dev/kfd"):
        with contextlib.suppress(OSError, ValueError):
            return "rocm", tuple(
                int(part) for part in Path("/opt/rocm/.info/version").read_text().split(".")[:2]
            )
        return "rocm", (7,)
    return None, ()


def wheels() -> list[str]:
    """Return the names of the installed CuPy distributions; more than one overwrite each other's files."""
    names = {
        str(distribution.metadata["Name"]).lower() for distribution in metadata.distributions()
    }
    return sorted(name for name in names if re.fullmatch(r"cupy(-cuda\w+|-rocm[-\d]+)?", name))


def _wheel_for(gpu_driver: Driver) -> tuple[str, str] | None:
    """Return ("cuda12", "cupy-cuda12x") for a driver; None where there is no wheel for it."""
    kind, version = gpu_driver
    if kind == "rocm":
        return EXTRAS["rocm", 7]
    return EXTRAS["cuda", min(13, version[0])] if kind == "cuda" and version[0] >= 12 else None


def _install(gpu_driver: Driver, remove: Sequence[str] = ()) -> str | None:
    """Return the command that installs the CuPy for this driver, after removing other ones."""
    fitting = _wheel_for(gpu_driver)
    if fitting is None:
        return (
            NEW_DRIVER
            if gpu_driver[0] == "cuda"
            else f"pip uninstall -y {' '.join(remove)}"
            if remove
            else None
        )
    extra, wheel = fitting
    try:
        metadata.version("rawconv")
        command = f"pip install 'rawconv[{extra}]'"
    except metadata.PackageNotFoundError:  # run from its source
        command = f"pip install {wheel}"
    return f"pip uninstall -y {' '.join(remove)} && {command}" if remove else command


def _misfit(wheel: str, gpu_driver: Driver) -> str | None:
    """Return why this wheel cannot run on this driver, or None."""
    match = re.match(r"cupy-(cuda|rocm-)(\d\d|\d)", wheel)
    if not match or gpu_driver[0] is None:
        return None
    kind, major = match[1].rstrip("-"), int(match[2])
    if kind == gpu_driver[0] and (kind == "rocm" or major <= gpu_driver[1][0]):
        return None
    return f"{wheel} does not fit the driver, which is for {_name(gpu_driver)}"


def _name(gpu_driver: Driver) -> str:
    return f"{'CUDA' if gpu_driver[0] == 'cuda' else 'ROCm'} {'.'.join(map(str, gpu_driver[1]))}"


def _gpu() -> Iterator[Finding]:
    """Examine driver, CuPy, devices and NCCL, up to the first that is missing."""
    gpu_driver, installed = driver(), wheels()
    yield from _card(gpu_driver)
    if len(installed) > 1:
        yield Finding("CuPy", "broken", f"{len(installed)} of them overwrite each other: {', '.join(installed)}",
                      _install(gpu_driver, installed))  # fmt: skip
    wheel = installed[0] if installed else "cupy"
    misfit = _misfit(wheel, gpu_driver)
    try:
        import cupy
    except Exception as error:
        yield _no_cupy(error, gpu_driver, installed, misfit)
        return
    try:
        count = cupy.cuda.runtime.getDeviceCount()
        runtime, limit = cupy.cuda.runtime.runtimeGetVersion(), cupy.cuda.runtime.driverGetVersion()
    except Exception as error:
        yield Finding("CuPy", "ok" if not misfit else "broken", misfit or f"{cupy.__version__}, {wheel}",
                      _install(gpu_driver, installed) if misfit else None)  # fmt: skip
        yield Finding(
            "GPU",
            "broken",
            f"CuPy finds no usable GPU: {_line(error)}",
            _no_device(gpu_driver, misfit, installed),
        )
        return
    yield Finding("CuPy", "ok", f"{cupy.__version__}, {wheel}, runtime {runtime}, driver {limit}")
    if not count:
        yield Finding(
            "GPU", "broken", "CuPy finds no GPU", _no_device(gpu_driver, misfit, installed)
        )
    for index in range(count):
        yield _device(cupy, index)
    yield _nccl(wheel)


def _card(gpu_driver: Driver) -> Iterator[Finding]:
    """Examine the driver, or the card that has none."""
    if gpu_driver[0]:
        yield Finding("driver", "ok", f"up to {_name(gpu_driver)}")
    elif maker := card():
        yield Finding(
            "driver", "broken", f"there is a card of {maker}, and no driver of it", _driver(maker)
        )


def _no_cupy(
    error: Exception, gpu_driver: Driver, installed: Sequence[str], misfit: str | None
) -> Finding:
    """Say why CuPy could not be imported; misfit: what is known to be wrong with the wheel, or None."""
    if isinstance(error, ImportError) and not installed:
        why = "" if gpu_driver[0] else ", and there is no driver of a GPU"
        offer = _install(gpu_driver) or f"{_driver(card())}; then rawconv-doctor again"
        return Finding("CuPy", "missing", f"not installed{why}", offer)
    wheel = installed[0] if installed else "cupy"
    remedy = _install(gpu_driver, installed) if misfit else f"pip install --force-reinstall {wheel}"
    return Finding("CuPy", "broken", misfit or f"{wheel} does not load: {_line(error)}", remedy)


def _no_device(gpu_driver: Driver, misfit: str | None, installed: Sequence[str]) -> str | None:
    hidden = [
        name for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES") if name in os.environ
    ]
    if misfit:
        return _install(gpu_driver, installed)
    if hidden:
        return f"unset {' '.join(hidden)}"
    return {"cuda": "nvidia-smi", "rocm": "rocm-smi"}.get(gpu_driver[0] or "") or _driver(card())


def card(root: str | os.PathLike[str] = "/") -> str | None:
    """Return the maker of the graphics card in this machine, "NVIDIA" or "AMD"; None where there is
    no such card.
    """
    for device in sorted(Path(root, "sys/bus/pci/devices").glob("*")):
        with contextlib.suppress(OSError, ValueError):
            kind, maker = (int((device / name).read_text(), 16) for name in ("class", "vendor"))
            # a display, or an accelerator of computations
            if kind >> 16 in (0x03, 0x12) and maker in MAKERS:
                return MAKERS[maker]
    return None


def _driver(maker: str | None) -> str:
    """Return how a card of this maker gets its driver; a container uses the driver of its host."""
    if maker is None:
        return "with a GPU: its driver first, or use --device cpu"
    inside, outside = DRIVERS[maker]
    return inside if any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv"))) else outside


def _device(cupy: Any, index: int) -> Finding:
    try:
        name = cupy.cuda.runtime.getDeviceProperties(index)["name"].decode()
        with cupy.cuda.Device(index) as device:
            free, total = cupy.cuda.runtime.memGetInfo()
        text = f"{name}, compute {device.compute_capability}, {free / 2**30:.1f} of {total / 2**30:.1f} GB free"
        return Finding(f"gpu:{index}", "ok", text)
    except Exception as error:
        return Finding(
            f"gpu:{index}",
            "broken",
            _line(error),
            "nvidia-smi --query-compute-apps=pid,used_memory --format=csv",
        )


def _nccl(wheel: str) -> Finding:
    remedy = {
        "cupy-cuda12x": "pip install nvidia-nccl-cu12",
        "cupy-cuda13x": "pip install nvidia-nccl-cu13",
    }
    try:
        from cupy.cuda import nccl

        return Finding("NCCL", "ok", str(nccl.get_version()))
    except Exception as error:
        text = f"not there; it is for several GPUs only ({_line(error)})"
        return Finding("NCCL", "missing", text, remedy.get(wheel, "install RCCL of ROCm 7"))


def _kernel(index: int) -> Finding:
    """Compare a convolution on the GPU with the CPU's: this compiles rawconv's kernel and CuPy's
    afresh and calls cuBLAS.
    """
    try:
        with tempfile.TemporaryDirectory() as folder, _environment("CUPY_CACHE_DIR", folder):
            difference = _try_convolution(index)
    except Exception as error:
        return Finding("kernel", "broken", _line(error), _kernel_remedy(error))
    if not difference < 1e-5:
        return Finding(
            "kernel", "broken", f"a convolution on gpu:{index} is wrong by {difference:.1e}", SHOW
        )
    text = (
        f"gpu:{index} compiles and runs; a convolution differs from the CPU's by {difference:.0e}"
    )
    return Finding("kernel", "ok", text)


def _try_convolution(index: int) -> float:
    """Return the largest difference between the CPU's convolution and the GPU's, relative to the
    largest value.
    """
    import numpy as np

    from .layers.conv import convolve
    from .layers.window import Window
    from .machine.arrays import Device, to_cpu

    rng = np.random.default_rng(0)
    x, weight, bias = (
        rng.standard_normal(size, np.float32) for size in ((2, 9, 8, 3), (3, 3, 3, 5), (5,))
    )
    window = Window.of(3, 2, 1, True)
    want = convolve(x, weight, bias, window)
    with Device(index) as device:
        got = to_cpu(convolve(device.put(x), device.put(weight), device.put(bias), window))
    return float(np.abs(got - want).max() / np.abs(want).max())


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _kernel_remedy(error: Exception) -> str:
    text = f"{type(error).__name__} {error}".lower()
    wheel = (wheels() or ["cupy"])[0]
    if "unsupported_ptx" in text or "unsupported ptx" in text or "ptx was compiled" in text:
        return NEW_DRIVER
    if wheel.startswith("cupy-rocm"):
        return "install hiprtc and hipblas of ROCm 7" if "load" in text or "open" in text else SHOW
    lost = "failed to load|cannot open|could not open|no such file|not ?found|headers|gpu-architecture|no kernel image"
    return f"pip install --upgrade '{wheel}[ctk]'" if re.search(lost, text) else SHOW
