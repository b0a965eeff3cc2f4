"""Data parallelism: one process for each device, started by the user's own mpirun or srun.

    with parallel.init_distributed() as ranks:
        part = ranks.shard(ids)                            this process's images of a batch
        dx, grads = net.backward(dy, caches, ranks.add)    gradients are summed in buckets as they become ready ...
        ranks.finish()                                     ... and from here on every process holds the sums, in place

Gradients are sums over images, so the sum over the processes is that of the whole batch however it
was divided; the optimiser divides by the whole batch.  Crops and dropout masks depend on image ids
alone, not on the division. Arrays on the CPU are summed by MPI after the backward pass, arrays on
GPUs by NCCL during it, on a stream of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RawconvError, UsageError
from ..files.messages import silenced, warn
from ..machine import limits
from ..machine.arrays import array_module, on_cpu, to_cpu

if TYPE_CHECKING:
    from ..machine.arrays import Array
    from ..net import Net

# bytes that are reduced together: large enough for the wire, small enough to start early
BUCKET = 4 << 20
SIZES = (
    "PMI_SIZE",
    "OMPI_COMM_WORLD_SIZE",
    "PMIX_SIZE",
    "MV2_COMM_WORLD_SIZE",
    "SLURM_STEP_NUM_TASKS",
)


class SingleProcess:
    """The Communicator of the only process there is: every sum is complete already."""

    rank, size, local, beside, interrupted = 0, 1, 0, 1, False

    def same(self, net: Net) -> None:
        """Do nothing: a single process agrees with itself."""

    def shard(self, ids: np.ndarray) -> np.ndarray:
        """Return all ids."""
        return ids

    def add(self, name: str, grads: dict[str, Array]) -> None:
        """Do nothing: the gradients of one process are the sums already."""

    def finish(self) -> None:
        """Do nothing."""
        pass

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the array itself."""
        return array

    def any_rank(self, flags: Sequence[bool]) -> Sequence[bool]:
        """Return the flags themselves."""
        return flags

    def broadcast(self, value: Any) -> Any:
        """Return the value itself."""
        return value


class Communicator:
    """All processes.  rank of size: this one's number.  local: its number among the `beside` on its
    machine.
    """

    def __init__(self, comm: Any) -> None:
        from mpi4py import MPI

        self._comm, self.rank, self.size = comm, comm.rank, comm.size
        here = comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.local, self.beside = here.rank, here.size
        _share_cores(here)
        self._bucket: list[Array] = []
        self._nccl: Any = None
        self._stream: Any = None
        self.interrupted = False  # by common consent

    def same(self, net: Net) -> None:
        """RawconvError: the processes hold different weights."""
        own = hashlib.sha256(
            b"".join(to_cpu(value).tobytes() for value in net.params.values())
        ).digest()
        if self.any_rank([own != self.broadcast(own)])[0]:
            raise RawconvError(
                "The processes begin with different weights; give all the same options and the same --resume file."
            )

    def shard(self, ids: np.ndarray) -> np.ndarray:
        """Return this process's part of `ids`: contiguous, the first ones longer where the division
        leaves a rest.
        """
        return np.array_split(ids, self.size)[self.rank]

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


@contextlib.contextmanager
def init_distributed() -> Iterator[Ranks]:
    """Join the processes that were started together: yield a Communicator, or a SingleProcess if
    there is only one.

    An error in one of them ends all of them after its sentence; so does an interruption that they
    did not agree on.
    RawconvError: a launcher started several, and mpi4py cannot connect them.
    """
    started = max(
        (int(os.environ[name]) for name in SIZES if os.environ.get(name, "").isdecimal()), default=1
    )
    if started == 1:
        yield SingleProcess()
        return
    comm = _world(started)
    ranks = Communicator(comm)
    try:
        with silenced() if comm.rank else contextlib.nullcontext():
            yield ranks
    except BaseException as error:
        if not ranks.interrupted:
            _last_words(error, comm.rank)
            code = 2 if isinstance(error, UsageError) else 1
            comm.Abort(code)
            os._exit(code)  # some libraries return from Abort
        raise


def _world(started: int) -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise RawconvError(
            f"{started} processes were started together, but mpi4py cannot join them ({error}): "
            "pip install 'rawconv[mpi]'."
        ) from error
    if MPI.COMM_WORLD.size != started:
        raise RawconvError(
            f"{started} processes were started together, but mpi4py sees {MPI.COMM_WORLD.size}: its MPI library is not "
            "the launcher's; start them with the mpirun that `pip install 'rawconv[mpi]'` brings."
        )
    return MPI.COMM_WORLD


def _in_place() -> Any:
    from mpi4py import MPI

    return MPI.IN_PLACE


def _share_cores(here: Any) -> None:
    """Divide the cores of a machine among its processes, unless the user or the launcher has done so."""
    cores = (
        frozenset(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else frozenset(range(os.cpu_count() or 1))
    )
    alike = here.allgather(cores).count(cores)
    os.environ.setdefault(
        "RAWCONV_NUM_THREADS", str(max(1, min(len(cores), limits.cpus()) // alike))
    )


def _last_words(error: BaseException, rank: int) -> None:
    """Print the error of this process.  If all processes have the same one, the first prints it and
    ends the others.

    Each waits for a moment: a launcher that ends its processes may drop what it has not read from them yet.
    """
    if rank:
        time.sleep(2)
    if not isinstance(error, RawconvError | UsageError | KeyboardInterrupt):
        sys.excepthook(type(error), error, error.__traceback__)
    warn(f"Error: process {rank}: {error or type(error).__name__}")
    time.sleep(0.5)
