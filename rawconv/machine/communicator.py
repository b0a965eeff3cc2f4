"""What several processes tell each other, to work as one.

    with init_distributed() as ranks:                      distributed.py: a Communicator, or a SingleProcess
        if ranks.has_turn(number): ...                     whole batches and steps are dealt out in turn
        part = ranks.shard(ids)                            or this process's images of a batch
        dx, grads = net.backward(dy, caches, ranks.add)    gradients are summed in buckets as they become ready ...
        ranks.finish()                                     ... and from here on every process holds the sums, in place

Gradients are sums over images, so the sum over the processes is that of the whole batch however it
was divided; the optimiser divides by the whole batch.  Crops and dropout masks depend on image ids
alone, not on the division. Arrays on the CPU are summed by MPI after the backward pass, arrays on
GPUs by NCCL during it, on a stream of its own.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RawconvError
from ..files import signals
from .arrays import array_module, on_cpu

if TYPE_CHECKING:
    from .arrays import Array

# bytes that are reduced together: large enough for the wire, small enough to start early
BUCKET = 4 << 20


class SingleProcess:
    """The Communicator of the only process there is: every sum is complete already."""

    rank, size, local, beside, interrupted = 0, 1, 0, 1, False

    def check_same(self, fact: Any, sentence: str) -> None:
        """Do nothing: a single process agrees with itself."""

    def shard(self, ids: np.ndarray) -> np.ndarray:
        """Return all ids."""
        return ids

    def has_turn(self, number: int) -> bool:
        """Return True: every step is this process's."""
        return True

    def add(self, name: str, grads: dict[str, Array]) -> None:
        """Do nothing: the gradients of one process are the sums already."""

    def finish(self) -> None:
        """Do nothing."""

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the array itself."""
        return array

    def any_rank(self, flags: Sequence[bool]) -> Sequence[bool]:
        """Return the flags themselves."""
        return flags

    def broadcast(self, value: Any) -> Any:
        """Return the value itself."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """Return a list of the value alone."""
        return [value]

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[Callable[[], bool]]:
        """Yield a function that returns False: a signal raises at once in a single process."""
        yield lambda: False


class Communicator:
    """All processes.  rank of size: this one's number.  local: its number among the `beside` on its
    machine.
    """

    def __init__(self, comm: Any, here: Any) -> None:
        """comm: of all processes; here: of those on this machine; both of mpi4py."""
        self._comm, self.rank, self.size = comm, comm.rank, comm.size
        self.local, self.beside = here.rank, here.size
        self._bucket: list[Array] = []
        self._nccl: Any = None
        self._stream: Any = None
        self.interrupted = False  # by common consent

    def check_same(self, fact: Any, sentence: str) -> None:
        """RawconvError(sentence) in every process: `fact` is not the same in all of them."""
        if self.any_rank([fact != self.broadcast(fact)])[0]:
            raise RawconvError(sentence)

    def shard(self, ids: np.ndarray) -> np.ndarray:
        """Return this process's part of `ids`: contiguous, the first ones longer where the division
        leaves a rest.
        """
        return np.array_split(ids, self.size)[self.rank]

    def has_turn(self, number: int) -> bool:
        """Return whether the step with this number, one of 0, 1, 2, ..., is this process's."""
        return number % self.size == self.rank

    def add(self, name: str, grads: dict[str, Array]) -> None:
        """Take a layer's gradients, which will be summed in place.

        On a GPU a full bucket is sent at once, while the backward pass continues.
        """
        for key, grad in grads.items():
            grads[key] = array_module(grad).ascontiguousarray(grad)
            self._bucket.append(grads[key])
        if not on_cpu(self._bucket[0]) and sum(grad.nbytes for grad in self._bucket) >= BUCKET:
            self._reduce_on_gpu()

    def finish(self) -> None:
        """Sum what is left; afterwards every gradient that was added holds the sum over all processes."""
        if self._bucket and not on_cpu(self._bucket[0]):
            self._reduce_on_gpu()
        for grad in self._bucket:
            self._comm.Allreduce(_in_place(), grad)
        self._bucket = []
        if self._stream is not None:
            import cupy

            cupy.cuda.get_current_stream().wait_event(self._stream.record())

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of a NumPy array over the processes."""
        total = np.empty_like(array)
        self._comm.Allreduce(np.ascontiguousarray(array), total)
        return total

    def any_rank(self, flags: Sequence[bool]) -> Sequence[bool]:
        """Return for each flag whether it is true in any process; every process gets the same answer."""
        return [bool(flag) for flag in self.sum(np.array(flags, np.int32))]

    def broadcast(self, value: Any) -> Any:
        """Return the value of the first process, in every process."""
        return self._comm.bcast(value)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes in their order, in every process."""
        return list(self._comm.allgather(value))

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[Callable[[], bool]]:
        """Only note SIGINT and SIGTERM in this context, so that the processes stop at the same step.

        Yield a function that all of them call at the end of a step: whether one has had a signal.
        After it was True, the end of the context raises that signal in each of them.
        """
        sent: list[int] = []

        def stopped() -> bool:
            sent.extend(number for part in self.gather(noted[:1]) for number in part)
            self.interrupted = bool(sent)
            return self.interrupted

        with signals.stoppable() as noted:
            yield stopped
        if sent:
            signals.raise_again(sent)

    def wait(self) -> None:
        """Return when all processes have called it, leaving the processor to them until then."""
        request = self._comm.Ibarrier()
        while not request.Test():
            time.sleep(0.02)

    def _reduce_on_gpu(self) -> None:
        """Sum the bucket in place by NCCL, on its own stream, which first waits for the gradients
        to be computed.
        """
        import cupy
        from cupy.cuda import nccl

        if self._nccl is None:
            self._nccl = nccl.NcclCommunicator(
                self.size, self.broadcast(nccl.get_unique_id()), self.rank
            )
            self._stream = cupy.cuda.Stream(non_blocking=True)
        kinds = {"float32": nccl.NCCL_FLOAT32, "float64": nccl.NCCL_FLOAT64}
        self._stream.wait_event(cupy.cuda.get_current_stream().record())
        nccl.groupStart()
        for grad in self._bucket:
            place, kind = grad.data.ptr, kinds[str(grad.dtype)]
            self._nccl.allReduce(place, place, grad.size, kind, nccl.NCCL_SUM, self._stream.ptr)
        nccl.groupEnd()
        self._bucket = []


Ranks = SingleProcess | Communicator


def _in_place() -> Any:
    from mpi4py import MPI

    return MPI.IN_PLACE
