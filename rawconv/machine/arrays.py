"""Arrays of NumPy or CuPy: which module an array belongs to, choosing a device, compiling kernels.

CuPy is imported here, and for what a GPU alone has in graphs.py (CUDA graphs), communicator.py
(NCCL) and the doctor; nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..errors import RawconvError, UsageError

# in type hints: numpy.ndarray or cupy.ndarray; np.ndarray is written where it must be on the CPU
Array = Any
NO_CUPY = "CuPy is not installed"
# what the drivers of NVIDIA, of WSL, of ROCm and of Windows leave there
CARDS = ("/dev/nvidia0", "/dev/dxg", "/dev/kfd", r"C:\Windows\System32\nvcuda.dll")
WHEELS = "pip install cupy-cuda12x (CUDA 12), cupy-cuda13x (CUDA 13) or cupy-rocm-7-0 (ROCm)"


def array_module(x: Array) -> Any:
    """Return the module of an array: numpy for a NumPy array, cupy for a CuPy array."""
    if isinstance(x, np.ndarray):
        return np
    kind = type(x)  # of array: a dict answers sooner than CuPy
    module = _MODULES.get(kind)
    if module is None:
        import cupy

        module = _MODULES[kind] = cupy.get_array_module(x)
    return module


_MODULES: dict[type, Any] = {}


# on_cpu(x): whether x is a NumPy array.  isinstance in C: a step of a small net asks a hundred times
on_cpu: Callable[[Array], bool] = np.ndarray.__instancecheck__


def to_cpu(x: Array) -> np.ndarray:
    """Return x as a NumPy array, copied from the GPU if it is there."""
    array: np.ndarray = x if on_cpu(x) else x.get()
    return array


class Device:
    """The CPU (index None) or GPU number `index`.  `with device:` makes a GPU the current one.

    tf32: whether the nets that are moved there multiply in TF32 (tf32_products).
    """

    def __init__(self, index: int | None = None, tf32: bool = False) -> None:
        self.index, self.tf32 = index, tf32

    def __str__(self) -> str:
        if self.index is None:
            return "cpu"
        return f"gpu:{self.index}, TF32" if self.tf32 else f"gpu:{self.index}"

    def __enter__(self) -> Device:
        if self.index is not None:
            import cupy

            self._context = cupy.cuda.Device(self.index)
            self._context.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self.index is not None:
            self._context.__exit__(*error)

    def put(self, x: Array) -> Array:
        """Copy x to this device; return x itself if it is there already."""
        if self.index is None:
            return to_cpu(x)
        import cupy

        return cupy.asarray(x)

    def free_memory(self) -> int:
        """Return how many bytes of this GPU's memory are free."""
        import cupy

        return int(cupy.cuda.Device(self.index).mem_info[0])


class HostToDevice:
    """Copy batches to a device on a stream of its own, while the device still computes on the previous batch.

        copy = HostToDevice(device)
        x = copy(batch)         on a GPU from pinned memory, so that the host does not wait; on the CPU x is batch

    All work on a batch must be enqueued on the current stream before the next batch is copied.
    """

    def __init__(self, device: Device) -> None:
        self.device, self.latest, self.worked = device, None, None
        if device.index is not None:
            import cupy

            self.stream = cupy.cuda.Stream(non_blocking=True)

    def __call__(self, x: np.ndarray) -> Array:
        if self.device.index is None:
            return x
        import cupy

        current = cupy.cuda.get_current_stream()
        before, self.worked = self.worked, current.record()
        with self.stream:
            # the copy may go into memory that was in use until then
            self.stream.wait_event(before or self.worked)
            self.latest = cupy.asarray(x)
            current.wait_event(self.stream.record())
        return self.latest


def choose_device(
    name: str = "auto", say: Callable[[str], object] = lambda line: None, tf32: bool = False
) -> Device:
    """Return the Device called `auto`, `cpu`, `gpu` or `gpu:N`.

    `auto` falls back to the CPU and passes the reason, one line, to `say`; it is silent where there
    is no CuPy and no card.
    tf32: nets that are moved there multiply in TF32, which `say` is told.
    UsageError: `name` is none of these, or what is chosen has no TF32.  RawconvError: that GPU
    cannot be used.
    """
    device = _named_device(name, say)
    if not tf32:
        return device
    if trouble := _tf32_trouble(device):
        raise UsageError(f"--tf32 cannot be used: {trouble}.")
    say(f"Products on {device} are in TF32: factors of 10 mantissa bits, sums in float32.")
    device.tf32 = True
    return device


def _named_device(name: str, say: Callable[[str], object]) -> Device:
    if not re.fullmatch(r"auto|cpu|gpu(:\d+)?", name):
        raise UsageError(f"--device {name!r} is not a device; use auto, cpu, gpu or gpu:N.")
    if name == "cpu":
        return Device()
    index = int(name[4:] or 0)
    trouble = _gpu_trouble(index)
    if trouble is None:
        return Device(index)
    if name == "auto":
        if trouble != NO_CUPY:
            say(f"Using the CPU: {trouble}.")
        elif any(map(os.path.exists, CARDS)):
            say(f"Using the CPU: there is a GPU, but {NO_CUPY}; {WHEELS} adds it.")
        return Device()
    raise RawconvError(
        f"--device {name} cannot be used: {trouble}. Install the wheel for your card: {WHEELS}."
    )


def _tf32_trouble(device: Device) -> str | None:
    """Why products there cannot be in TF32; None if they can."""
    if device.index is None:
        return "this computes on the CPU; --device gpu names a GPU"
    import cupy

    if cupy.cuda.runtime.is_hip:
        return "CuPy for ROCm has no TF32"
    capability = cupy.cuda.Device(device.index).compute_capability
    if int(capability) < 80:
        return f"TF32 begins with compute capability 8.0, and {device} has {int(capability) / 10}"
    return None


@contextlib.contextmanager
def tf32_products() -> Iterator[None]:
    """Let cuBLAS multiply float32 matrices in TF32: factors are rounded to 10 mantissa bits, sums
    are in float32.  As the environment variable CUPY_TF32 does for a whole process.
    """
    from cupy import _core
    from cupy._core import _routines_linalg as linalg

    before = _core.get_compute_type("float32")
    _core.set_compute_type("float32", linalg.COMPUTE_TYPE_TF32)
    try:
        yield
    finally:
        _core.set_compute_type("float32", before)


def gpu_count() -> int:
    """Return how many GPUs CuPy sees."""
    import cupy

    return int(cupy.cuda.runtime.getDeviceCount())


def _gpu_trouble(index: int) -> str | None:
    try:
        import cupy
    except ImportError:
        return NO_CUPY
    try:
        count = gpu_count()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CuPy finds no usable GPU ({error})"
    return None if index < count else f"there is no GPU {index}, only {count}"


def compile_kernel(code: str, options: Iterable[str], name: str) -> Any:
    """Compile CUDA or HIP source and return its kernel `name`, a function of (blocks, threads, arguments).

    a * b + c is not fused, so that every device rounds as the CPU does.  On CUDA, CuPy itself adds
    -ftz=true: float32 numbers below 1.2e-38, which the CPU keeps, count as zero there.
    """
    import cupy

    exact = "-ffp-contract=off" if cupy.cuda.runtime.is_hip else "--fmad=false"
    return cupy.RawModule(code=code, options=(exact, *options)).get_function(name)


@contextlib.contextmanager
def clear_errors(lower: str = "--batch or --workspace") -> Iterator[None]:
    """Turn an error of the GPU into a RawconvError: one sentence that says what failed and what to do.

    lower: the options whose smaller values need less memory.
    """
    try:
        yield
    except Exception as error:
        sentence = describe_gpu_error(error, lower)
        if sentence is None:
            raise
        raise RawconvError(sentence) from error


def describe_gpu_error(error: BaseException, lower: str = "--batch or --workspace") -> str | None:
    """Return the sentence for an error that CuPy raised; None for any other.  lower: as in clear_errors."""
    text, name = " ".join(str(error).split()).rstrip("."), type(error).__name__
    if name in ("CompileException", "NVRTCError", "HIPRTCError"):
        line = next((line for line in str(error).splitlines() if "error" in line.lower()), text)
        return f"A GPU kernel does not compile: {line.strip()}; run rawconv-doctor, or use --device cpu."
    if "failed to load lib" in text:
        return f"A library of the GPU is missing ({text}): rawconv-doctor says how to get it; or use --device cpu."
    if not type(error).__module__.startswith("cupy"):
        return None
    if isinstance(error, MemoryError) or re.search("out of ?memory|alloc", text, re.IGNORECASE):
        return f"The GPU's memory is full: {text}; lower {lower}."
    if name.startswith(("CUDA", "CUBLAS", "HIP", "NCCL")):
        return f"The GPU failed ({text}); the last checkpoint is intact: --resume from it, or use --device cpu."
    return None
