"""What works here, and the one command that mends what does not.

found = examine("auto")      {"device", "works", "why", "findings": [Finding, ...]}
Nothing heavy is imported at the top: what is broken must be reported, not raised.
"""

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
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

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


class Finding(NamedTuple):
    """state: "ok", "missing" (rawconv works without it) or "broken".  remedy: the command that mends it."""

    name: str
    state: str
    text: str
    remedy: str | None = None


def examine(name="auto"):
    """Look at everything, and say whether the device `name` (auto, cpu, gpu or gpu:N) works, and why not.

    UsageError where there can be no such device.
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
    broken = {finding.name: finding for finding in findings if finding.state == "broken"}
    device, why = _choose(name)
    if device.startswith("gpu") and not why:
        findings += [kernel := _kernel(int(device[4:]))]
        why = f"kernel: {kernel.text}" if kernel.state == "broken" else None
    elif device.startswith("gpu"):
        gpu = [finding for finding in findings if finding.name in ("CuPy", "GPU") and finding.state != "ok"]
        why = f"{gpu[0].name}: {gpu[0].text}" if gpu else why
    for needed in ("memory", "NumPy", "Numba", "threads"):
        if needed in broken:
            why = f"{needed}: {broken[needed].text}"
    return {"device": device, "works": why is None, "why": why, "findings": findings}


def _choose(name):
    """(the device that a command would use, why there is none)."""
    from .machine.arrays import choose_device

    try:
        return str(choose_device(name)), None
    except UsageError:
        raise
    except Exception as error:
        return name, _line(error)


def _line(error):
    return " ".join(f"{error}".split()) or type(error).__name__


# The host


def _python():
    return Finding("Python", "ok", f"{platform.python_version()}, {platform.system()} {platform.machine()}")


def _memory():
    if limits.address_space() < environment.LEAST:
        text = f"ulimit -v grants {limits.address_space() >> 20} MB; libraries may hang or crash below 1024 MB"
        yield Finding("memory", "broken", text, "ulimit -v unlimited")


def _library(name, module):
    try:
        return Finding(name, "ok", importlib.import_module(module).__version__)
    except Exception as error:
        return Finding(name, "broken", _line(error), f"pip install --force-reinstall {module}")


def _numba():
    reinstall = "pip install --force-reinstall numba"
    if any(_memory()):
        return Finding("Numba", "missing", "not tried: it may crash with so little memory", "ulimit -v unlimited")
    try:
        numba = environment.load_numba()
        if numba.njit(lambda n: n + 1)(41) != 42:
            raise ValueError("a compiled loop gives a wrong result")
    except UsageError as error:
        return Finding("Numba", "broken", _line(error), f"unset {re.search('NUMBA_[A-Z_]+', str(error))[0]}")
    except Exception as error:
        return Finding("Numba", "broken", _line(error), reinstall)
    return Finding("Numba", "ok", f"{numba.__version__}, compiles")


def _loops():
    """Where compiled loops are kept: damaged ones, and folders that are full or not to be written."""
    try:
        from .machine import numba_cache
    except Exception:  # Numba's finding says it
        return
    folders = numba_cache.folders()
    for folder in folders:
        if files := numba_cache.damaged(folder):
            text = f"{len(files)} kept in {folder} are damaged; each is compiled anew when it is needed"
            yield Finding("loops", "broken", text, f"rm {shlex.quote(str(folder))}/*.nbc")
    refused = [numba_cache.why_unwritable(folder) for folder in folders]
    if None in refused:
        yield Finding("loops", "ok", f"kept in {folders[refused.index(None)]}")
    else:
        text = f"cannot be kept in {folders[-1]} ({refused[-1]}): each command compiles its own, up to half a minute"
        yield Finding("loops", "broken", text, _loops_remedy(refused[-1]))


def _loops_remedy(why):
    full = why in (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), os.strerror(errno.EFBIG))
    return "df -h: free some space there" if full else "export NUMBA_CACHE_DIR=FOLDER, one that you may write to"


def _blas():
    try:
        import numpy  # noqa: F401  (its library must be loaded to be seen)
        from threadpoolctl import threadpool_info
    except ImportError as error:
        return Finding("BLAS", "broken", _line(error), "pip install --force-reinstall threadpoolctl")
    seen = {f"{i['internal_api']} {i['version']}, {i['num_threads']} threads": None
            for i in threadpool_info() if i["user_api"] == "blas"}  # fmt: skip
    if not seen:
        text = "one whose threads cannot be set; beside rawconv's own they slow it down"
        return Finding("BLAS", "missing", text, "export OMP_NUM_THREADS=1 VECLIB_MAXIMUM_THREADS=1")
    return Finding("BLAS", "ok", f"{'; '.join(seen)} (rawconv sets 1 for each thread of its own)")


def _threads():
    try:
        from .machine.threads import thread_count

        quota = limits.cpu_quota()
        bound = "" if quota == math.inf else f", a quota of {quota:g} by the container"
        return Finding("threads", "ok", f"{thread_count()} of rawconv, {os.cpu_count()} cores{bound}")
    except UsageError as error:
        return Finding("threads", "broken", _line(error), "unset RAWCONV_NUM_THREADS")
    except Exception as error:  # what else is broken has said so already
        return Finding("threads", "broken", _line(error))


def _mpi():
    return Finding("MPI", *launchers.state())


# The GPU


def driver():
    """("cuda", (12, 4)): the newest CUDA that the installed driver can run; ("rocm", (7, 0)); or (None, ())."""
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
            return "rocm", tuple(int(part) for part in Path("/opt/rocm/.info/version").read_text().split(".")[:2])
        return "rocm", (7,)
    return None, ()


def wheels():
    """The names of the CuPy distributions that are installed; more than one overwrite each other's files."""
    names = {str(found.metadata["Name"]).lower() for found in metadata.distributions()}
    return sorted(name for name in names if re.fullmatch(r"cupy(-cuda\w+|-rocm[-\d]+)?", name))


def _wheel_for(seen):
    """("cuda12", "cupy-cuda12x") for a driver; None where there is no wheel for it."""
    kind, version = seen
    if kind == "rocm":
        return EXTRAS["rocm", 7]
    return EXTRAS["cuda", min(13, version[0])] if kind == "cuda" and version[0] >= 12 else None


def _install(seen, remove=()):
    """The command that installs the CuPy for this driver, after removing other ones."""
    if _wheel_for(seen) is None:
        return NEW_DRIVER if seen[0] == "cuda" else f"pip uninstall -y {' '.join(remove)}" if remove else None
    extra, wheel = _wheel_for(seen)
    try:
        metadata.version("rawconv")
        command = f"pip install 'rawconv[{extra}]'"
    except metadata.PackageNotFoundError:  # run from its source
        command = f"pip install {wheel}"
    return f"pip uninstall -y {' '.join(remove)} && {command}" if remove else command


def _misfit(wheel, seen):
    """Why this wheel cannot run on this driver, or None."""
    match = re.match(r"cupy-(cuda|rocm-)(\d\d|\d)", wheel)
    if not match or seen[0] is None:
        return None
    kind, major = match[1].rstrip("-"), int(match[2])
    if kind == seen[0] and (kind == "rocm" or major <= seen[1][0]):
        return None
    return f"{wheel} does not fit the driver, which is for {_name(seen)}"


def _name(seen):
    return f"{'CUDA' if seen[0] == 'cuda' else 'ROCm'} {'.'.join(map(str, seen[1]))}"


def _gpu():
    """Driver, CuPy, devices and NCCL, down to the first that is not there."""
    seen, installed = driver(), wheels()
    if seen[0]:
        yield Finding("driver", "ok", f"up to {_name(seen)}")
    elif maker := card():
        yield Finding("driver", "broken", f"there is a card of {maker}, and no driver of it", _driver(maker))
    if len(installed) > 1:
        yield Finding("CuPy", "broken", f"{len(installed)} of them overwrite each other: {', '.join(installed)}",
                      _install(seen, installed))  # fmt: skip
    wheel = installed[0] if installed else "cupy"
    misfit = _misfit(wheel, seen)
    try:
        import cupy
    except Exception as error:
        if isinstance(error, ImportError) and not installed:
            why = "" if seen[0] else ", and there is no driver of a GPU"
            offer = _install(seen) or f"{_driver(card())}; then rawconv-doctor again"
            yield Finding("CuPy", "missing", f"not installed{why}", offer)
        else:
            remedy = _install(seen, installed) if misfit else f"pip install --force-reinstall {wheel}"
            yield Finding("CuPy", "broken", misfit or f"{wheel} does not load: {_line(error)}", remedy)
        return
    try:
        count = cupy.cuda.runtime.getDeviceCount()
        runtime, limit = cupy.cuda.runtime.runtimeGetVersion(), cupy.cuda.runtime.driverGetVersion()
    except Exception as error:
        yield Finding("CuPy", "ok" if not misfit else "broken", misfit or f"{cupy.__version__}, {wheel}",
                      _install(seen, installed) if misfit else None)  # fmt: skip
        yield Finding("GPU", "broken", f"CuPy finds no usable GPU: {_line(error)}", _no_device(seen, misfit, installed))
        return
    yield Finding("CuPy", "ok", f"{cupy.__version__}, {wheel}, runtime {runtime}, driver {limit}")
    if not count:
        yield Finding("GPU", "broken", "CuPy finds no GPU", _no_device(seen, misfit, installed))
    for index in range(count):
        yield _device(cupy, index)
    yield _nccl(wheel)


def _no_device(seen, misfit, installed):
    hidden = [name for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES") if name in os.environ]
    if misfit:
        return _install(seen, installed)
    if hidden:
        return f"unset {' '.join(hidden)}"
    return {"cuda": "nvidia-smi", "rocm": "rocm-smi"}.get(seen[0]) or _driver(card())


def card(root="/"):
    """Who made the graphics card that is plugged in, "NVIDIA" or "AMD"; None where there is no such card."""
    for place in sorted(Path(root, "sys/bus/pci/devices").glob("*")):
        with contextlib.suppress(OSError, ValueError):
            kind, maker = (int((place / name).read_text(), 16) for name in ("class", "vendor"))
            if kind >> 16 in (0x03, 0x12) and maker in MAKERS:  # a display, or an accelerator of computations
                return MAKERS[maker]
    return None


def _driver(maker):
    """How a card of this maker gets its driver; in a container it is the host's, handed in."""
    if maker is None:
        return "with a GPU: its driver first, or use --device cpu"
    inside, outside = DRIVERS[maker]
    return inside if any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv"))) else outside


def _device(cupy, index):
    try:
        name = cupy.cuda.runtime.getDeviceProperties(index)["name"].decode()
        with cupy.cuda.Device(index) as device:
            free, total = cupy.cuda.runtime.memGetInfo()
        text = f"{name}, compute {device.compute_capability}, {free / 2**30:.1f} of {total / 2**30:.1f} GB free"
        return Finding(f"gpu:{index}", "ok", text)
    except Exception as error:
        return Finding(
            f"gpu:{index}", "broken", _line(error), "nvidia-smi --query-compute-apps=pid,used_memory --format=csv"
        )


def _nccl(wheel):
    remedy = {"cupy-cuda12x": "pip install nvidia-nccl-cu12", "cupy-cuda13x": "pip install nvidia-nccl-cu13"}
    try:
        from cupy.cuda import nccl

        return Finding("NCCL", "ok", str(nccl.get_version()))
    except Exception as error:
        text = f"not there; it is for several GPUs only ({_line(error)})"
        return Finding("NCCL", "missing", text, remedy.get(wheel, "install RCCL of ROCm 7"))


def _kernel(index):
    """A convolution on the GPU, compared: our kernel and CuPy's are compiled afresh, and cuBLAS is called."""
    try:
        with tempfile.TemporaryDirectory() as folder, _environment("CUPY_CACHE_DIR", folder):
            error = _try_convolution(index)
    except Exception as error:
        return Finding("kernel", "broken", _line(error), _kernel_remedy(error))
    if not error < 1e-5:
        return Finding("kernel", "broken", f"a convolution on gpu:{index} is wrong by {error:.1e}", SHOW)
    return Finding("kernel", "ok", f"gpu:{index} compiles and runs; a convolution is the CPU's to {error:.0e}")


def _try_convolution(index):
    """The largest difference between the CPU's convolution and the GPU's, relative to the largest value."""
    import numpy as np

    from .layers.conv import convolve
    from .layers.window import Window
    from .machine.arrays import Device, to_cpu

    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(size, np.float32) for size in ((2, 9, 8, 3), (3, 3, 3, 5), (5,))]
    window = Window.of(3, 2, 1, True)
    want = convolve(*arrays, window)
    with Device(index) as device:
        got = to_cpu(convolve(*(device.put(array) for array in arrays), window))
    return float(np.abs(got - want).max() / np.abs(want).max())


@contextlib.contextmanager
def _environment(name, value):
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _kernel_remedy(error):
    text = f"{type(error).__name__} {error}".lower()
    wheel = (wheels() or ["cupy"])[0]
    if "unsupported_ptx" in text or "unsupported ptx" in text or "ptx was compiled" in text:
        return NEW_DRIVER
    if wheel.startswith("cupy-rocm"):
        return "install hiprtc and hipblas of ROCm 7" if "load" in text or "open" in text else SHOW
    lost = "failed to load|cannot open|could not open|no such file|not ?found|headers|gpu-architecture|no kernel image"
    return f"pip install --upgrade '{wheel}[ctk]'" if re.search(lost, text) else SHOW
