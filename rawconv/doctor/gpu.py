"""Whether CuPy loads, sees a card, and computes on it what the CPU does."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from . import drivers
from .finding import Finding, line_of

SHOW = "python -c 'import cupy; cupy.show_config()'"


def findings() -> Iterator[Finding]:
    """Examine driver, CuPy, devices and NCCL, up to the first that is missing."""
    gpu_driver, installed = drivers.driver(), drivers.wheels()
    yield from _card(gpu_driver)
    if len(installed) > 1:
        yield Finding("CuPy", "broken", f"{len(installed)} of them overwrite each other: {', '.join(installed)}",
                      drivers.install(gpu_driver, installed))  # fmt: skip
    wheel = installed[0] if installed else "cupy"
    misfit = drivers.misfit_of(wheel, gpu_driver)
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
                      drivers.install(gpu_driver, installed) if misfit else None)  # fmt: skip
        yield Finding(
            "GPU",
            "broken",
            f"CuPy finds no usable GPU: {line_of(error)}",
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


def _card(gpu_driver: drivers.Driver) -> Iterator[Finding]:
    """Examine the driver, or the card that has none."""
    if gpu_driver[0]:
        yield Finding("driver", "ok", f"up to {drivers.name_of(gpu_driver)}")
    elif maker := drivers.card():
        yield Finding(
            "driver",
            "broken",
            f"there is a card of {maker}, and no driver of it",
            drivers.offer_driver(maker),
        )


def _no_cupy(
    error: Exception, gpu_driver: drivers.Driver, installed: Sequence[str], misfit: str | None
) -> Finding:
    """Say why CuPy could not be imported; misfit: what is known to be wrong with the wheel, or None."""
    if isinstance(error, ImportError) and not installed:
        why = "" if gpu_driver[0] else ", and there is no driver of a GPU"
        offer = (
            drivers.install(gpu_driver)
            or f"{drivers.offer_driver(drivers.card())}; then rawconv-doctor again"
        )
        return Finding("CuPy", "missing", f"not installed{why}", offer)
    wheel = installed[0] if installed else "cupy"
    remedy = (
        drivers.install(gpu_driver, installed)
        if misfit
        else f"pip install --force-reinstall {wheel}"
    )
    return Finding("CuPy", "broken", misfit or f"{wheel} does not load: {line_of(error)}", remedy)


def _no_device(
    gpu_driver: drivers.Driver, misfit: str | None, installed: Sequence[str]
) -> str | None:
    hidden = [
        name for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES") if name in os.environ
    ]
    if misfit:
        return drivers.install(gpu_driver, installed)
    if hidden:
        return f"unset {' '.join(hidden)}"
    return {"cuda": "nvidia-smi", "rocm": "rocm-smi"}.get(
        gpu_driver[0] or ""
    ) or drivers.offer_driver(drivers.card())


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
            line_of(error),
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
        text = f"not there; it is for several GPUs only ({line_of(error)})"
        return Finding("NCCL", "missing", text, remedy.get(wheel, "install RCCL of ROCm 7"))


def kernel(index: int) -> Finding:
    """Compare a convolution on the GPU with the CPU's: this compiles rawconv's kernel and CuPy's
    afresh and calls cuBLAS.
    """
    try:
        with tempfile.TemporaryDirectory() as folder, _environment("CUPY_CACHE_DIR", folder):
            difference = _try_convolution(index)
    except Exception as error:
        return Finding("kernel", "broken", line_of(error), _kernel_remedy(error))
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

    from ..layers.conv import convolve
    from ..layers.window import Window
    from ..machine.arrays import Device, to_cpu

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
    wheel = (drivers.wheels() or ["cupy"])[0]
    if "unsupported_ptx" in text or "unsupported ptx" in text or "ptx was compiled" in text:
        return drivers.NEW_DRIVER
    if wheel.startswith("cupy-rocm"):
        return "install hiprtc and hipblas of ROCm 7" if "load" in text or "open" in text else SHOW
    lost = "failed to load|cannot open|could not open|no such file|not ?found|headers|gpu-architecture|no kernel image"
    return f"pip install --upgrade '{wheel}[ctk]'" if re.search(lost, text) else SHOW
