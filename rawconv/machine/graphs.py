"""CUDA graphs: work that a GPU is asked for once and then repeats at one call of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import RawconvError


class Graph:
    """What `work()` asks a GPU for, captured: each `launch` does it again, on the current stream.

    results: what work returned; its arrays hold the values of the latest launch.  work: computes
    from arrays that stay where they are, copies nothing from the host and reads nothing back.  It
    is called twice, the first time to compile its kernels and to fill a memory pool of its own: a
    capture may allocate nothing, and nobody else may use the memory between two launches.
    RawconvError, one sentence: this GPU cannot capture.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        import cupy

        # a pool lends its blocks stream by stream, so that both calls are on one
        self._pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
        stream.wait_event(cupy.cuda.get_current_stream().record())
        with cupy.cuda.using_allocator(self._pool.malloc), stream:
            work()
            stream.synchronize()
            try:
                stream.begin_capture()
                try:
                    self.results = work()
                finally:
                    self._graph = stream.end_capture()
            except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.cublas.CUBLASError) as error:
                reason = " ".join(str(error).split())
                raise RawconvError(
                    f"CUDA graphs do not work here ({reason}); each kernel is launched by itself."
                ) from error

    def launch(self) -> None:
        """Do the work."""
        self._graph.launch()
