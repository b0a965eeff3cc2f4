"""The only file that knows CuPy exists: which module an array belongs to, choosing a device, compiling kernels."""

import contextlib
import functools
import pathlib
import re
from typing import Any

import numpy as np

from ..errors import RawconvError, UsageError

Array = Any  # for type hints: numpy.ndarray or cupy.ndarray, the device is where the array is
WHEELS = "pip install cupy-cuda12x (CUDA 12), cupy-cuda13x (CUDA 13) or cupy-rocm-7-0 (ROCm)"


def array_module(x: Array):
    """numpy for a NumPy array, cupy for a CuPy array: the device is where the array is."""
    if isinstance(x, np.ndarray):
        return np
    import cupy

    return cupy.get_array_module(x)


def on_cpu(x: Array) -> bool:
    """True for a NumPy array."""
    return isinstance(x, np.ndarray)


def to_cpu(x: Array) -> np.ndarray:
    """x as a NumPy array, copied from the device if it is there."""
    return x if on_cpu(x) else x.get()


class Device:
    """Where arrays are put: `cpu`, or GPU number `index`.  `with device:` makes a GPU the current one."""

    def __init__(self, index=None):
        self.index = index

    def __str__(self):
        return "cpu" if self.index is None else f"gpu:{self.index}"

    def __enter__(self):
        if self.index is not None:
            import cupy

            self._context = cupy.cuda.Device(self.index)
            self._context.__enter__()
        return self

    def __exit__(self, *error):
        if self.index is not None:
            self._context.__exit__(*error)

    def put(self, x: Array) -> Array:
        """x on this device (the same array where it is there already)."""
        if self.index is None:
            return to_cpu(x)
        import cupy

        return cupy.asarray(x)

    def free_memory(self):
        """Bytes of a GPU's memory that nobody uses."""
        import cupy

        return cupy.cuda.Device(self.index).mem_info[0]


class HostToDevice:
    """uploads(x): a batch on its device, copied by a stream of its own while the device still works on the one before.

    All work on a batch is to be on the current stream before the next one is asked for.  CuPy copies from pinned
    memory, so the host does not wait either.  On the CPU it is the batch itself.
    """

    def __init__(self, device):
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
            self.stream.wait_event(before or self.worked)  # memory that was free by then may be what we get
            self.latest = cupy.asarray(x)
            current.wait_event(self.stream.record())
        return self.latest


def choose_device(name: str = "auto", say=lambda line: None) -> Device:
    """The Device called `auto`, `cpu`, `gpu` or `gpu:N`.  `auto` falls back to the CPU and says why in one line."""
    if not re.fullmatch(r"auto|cpu|gpu(:\d+)?", name):
        raise UsageError(f"--device {name!r} is not a device; use auto, cpu, gpu or gpu:N.")
    if name == "cpu":
        return Device()
    index = int(name[4:] or 0)
    trouble = _gpu_trouble(index)
    if trouble is None:
        return Device(index)
    if name == "auto":
        say(f"Using the CPU: {trouble}.")
        return Device()
    raise RawconvError(f"--device {name} cannot be used: {trouble}. Install the wheel for your card: {WHEELS}.")


def gpu_count():
    """How many GPUs CuPy sees."""
    import cupy

    return cupy.cuda.runtime.getDeviceCount()


def _gpu_trouble(index):
    try:
        import cupy
    except ImportError:
        return "CuPy is not installed"
    try:
        count = gpu_count()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CuPy finds no usable GPU ({error})"
    return None if index < count else f"there is no GPU {index}, only {count}"


THREADS, BLOCKS = 256, 65535  # of a launch; larger counts walk on in strides of the whole grid
C_TYPES = {
    "float32": "float", "float64": "double", "uint8": "unsigned char", "uint16": "unsigned short",
    "int64": "long long", "uint64": "unsigned long long",
}  # fmt: skip
OPEN_TYPES = {"real": ("float", "double"), "switch_t": ("unsigned char", "unsigned short")}
SCALARS = {"long long": np.int64, "float": np.float32, "double": np.float64}


def launch(path, name, count, *arguments):
    """Run kernel `name` of the .cu file `path` over `count` elements, one thread each, on the current stream.

    The kernel's signature is the contract: `type *x` takes a C-contiguous CuPy array of that type, `long long` an
    int, `real` a number.  `real` and `switch_t` mean the type of the first array that is passed for them.
    ValueError, naming the argument, where one does not fit: a raw kernel ignores strides and types.
    """
    parameters = _signature(path, name)[1:]
    if len(arguments) != len(parameters):
        raise ValueError(f"{name} takes {len(parameters)} arguments after count, not {len(arguments)}.")
    meaning, values = {}, [np.int64(count)]
    for (kind, label, is_array), value in zip(parameters, arguments, strict=True):
        if is_array:
            _check_array(f"{name}: {label}", value, kind, meaning)
        else:
            value = SCALARS[meaning.get(kind, kind)](value)
        values.append(value)
    if count:
        blocks = min((count + THREADS - 1) // THREADS, BLOCKS)
        _kernel(path, name, *meaning.items())((blocks,), (THREADS,), tuple(values))


def _check_array(label, array, kind, meaning):
    """Refuse what is not a contiguous CuPy array of C type `kind`; an open type gets its meaning from the first one."""
    found = C_TYPES.get(str(getattr(array, "dtype", None)))
    if not hasattr(array, "__cuda_array_interface__"):
        raise ValueError(f"{label} must be a CuPy array, not {type(array).__module__}.{type(array).__name__}.")
    if kind in OPEN_TYPES and found in OPEN_TYPES[kind]:
        kind = meaning.setdefault(kind, found)
    if found != kind:
        wanted = " or ".join(OPEN_TYPES.get(kind, (kind,)))
        raise ValueError(f"{label} is {array.dtype}, the kernel wants {wanted}.")
    if not array.flags.c_contiguous:
        raise ValueError(f"{label} must be C-contiguous, its strides are {array.strides}.")


@functools.cache
def _signature(path, name):
    """[(C type, name, is an array), ...] of a kernel, read from its .cu file."""
    found = re.search(rf"__global__ void {name}\(([^)]*)\)", pathlib.Path(path).read_text())
    words = [re.sub(r"const|__restrict__|\*", " ", parameter).split() for parameter in found.group(1).split(",")]
    arrays = ["*" in parameter for parameter in found.group(1).split(",")]
    return [(" ".join(kind), label, is_array) for (*kind, label), is_array in zip(words, arrays, strict=True)]


@functools.cache
def _kernel(path, name, *meaning):
    """The compiled kernel.  a * b + c is not fused, so that every device rounds as the CPU does."""
    import cupy

    text = f'#line 1 "{pathlib.Path(path).name}"\n{pathlib.Path(path).read_text()}'
    exact = "-ffp-contract=off" if cupy.cuda.runtime.is_hip else "--fmad=false"
    options = (exact, *(f"-D{kind}={c_type}" for kind, c_type in meaning))
    return cupy.RawModule(code=text, options=options).get_function(name)


@contextlib.contextmanager
def clear_errors(lower="--batch or --workspace"):
    """Inside it, what a device refuses becomes one RawconvError sentence: what, how much was asked, what to do.

    lower: the options that need less memory.
    """
    try:
        yield
    except Exception as error:
        sentence = refusal(error, lower)
        if sentence is None:
            raise
        raise RawconvError(sentence) from error


def refusal(error, lower="--batch or --workspace"):
    """The sentence for an error that CuPy raised; None for any other."""
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
