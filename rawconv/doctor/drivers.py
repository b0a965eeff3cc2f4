"""The driver of a GPU, the card in the machine, and the CuPy that fits them: found without loading
CuPy, and the command that installs what is missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

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

Driver = tuple[str | None, tuple[int, ...]]  # ("cuda", (12, 4)), ("rocm", (7,)) or (None, ())


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
        text = subprocess.run(
            ["nvidia-smi"], capture_output=True, encoding="utf-8", errors="replace", timeout=30
        ).stdout
        if match := re.search(r"CUDA Version:\s*(\d+)\.(\d+)", text):
            return "cuda", (int(match[1]), int(match[2]))
    if os.path.exists("/dev/kfd"):
        with contextlib.suppress(OSError, ValueError):
            return "rocm", tuple(
                int(part)
                for part in Path("/opt/rocm/.info/version").read_text("utf-8").split(".")[:2]
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


def install(gpu_driver: Driver, remove: Sequence[str] = ()) -> str | None:
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


def misfit_of(wheel: str, gpu_driver: Driver) -> str | None:
    """Return why this wheel cannot run on this driver, or None."""
    match = re.match(r"cupy-(cuda|rocm-)(\d\d|\d)", wheel)
    if not match or gpu_driver[0] is None:
        return None
    kind, major = match[1].rstrip("-"), int(match[2])
    if kind == gpu_driver[0] and (kind == "rocm" or major <= gpu_driver[1][0]):
        return None
    return f"{wheel} does not fit the driver, which is for {name_of(gpu_driver)}"


def name_of(gpu_driver: Driver) -> str:
    """Return "CUDA 12.4"."""
    return f"{'CUDA' if gpu_driver[0] == 'cuda' else 'ROCm'} {'.'.join(map(str, gpu_driver[1]))}"


def card(root: str | os.PathLike[str] = "/") -> str | None:
    """Return the maker of the graphics card in this machine, "NVIDIA" or "AMD"; None where there is
    no such card.
    """
    for device in sorted(Path(root, "sys/bus/pci/devices").glob("*")):
        with contextlib.suppress(OSError, ValueError):
            kind, maker = (
                int((device / name).read_text("utf-8"), 16) for name in ("class", "vendor")
            )
            # a display, or an accelerator of computations
            if kind >> 16 in (0x03, 0x12) and maker in MAKERS:
                return MAKERS[maker]
    return None


def offer_driver(maker: str | None) -> str:
    """Return how a card of this maker gets its driver; a container uses the driver of its host."""
    if maker is None:
        return "with a GPU: its driver first, or use --device cpu"
    inside, outside = DRIVERS[maker]
    return inside if any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv"))) else outside
