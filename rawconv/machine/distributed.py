"""Joining the processes that the user's own mpirun or srun started, one for each device.

with init_distributed() as ranks:          a communicator.Communicator, or a SingleProcess
    device = choose_device("gpu", ranks)   the GPU of this process's own number
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import RawconvError, UsageError
from ..files.messages import silence, silenced, warn
from ..files.signals import Terminated
from . import arrays, limits
from .communicator import Communicator, Ranks, SingleProcess

if TYPE_CHECKING:
    from ..files.messages import Say
    from .arrays import Device

SIZES = (
    "PMI_SIZE",
    "OMPI_COMM_WORLD_SIZE",
    "PMIX_SIZE",
    "MV2_COMM_WORLD_SIZE",
    "SLURM_STEP_NUM_TASKS",
)


@contextlib.contextmanager
def init_distributed(
    describe: Callable[[BaseException], str | None] = lambda error: None,
) -> Iterator[Ranks]:
    """Join the processes that were started together: yield a Communicator, or a SingleProcess if
    there is only one.

    Only the first one prints.  An error in one of them ends all of them after its sentence; so does
    an interruption that they did not agree on.
    describe: the sentence for an error that is neither a RawconvError nor a UsageError, or None
    where that is a bug.
    RawconvError: a launcher started several, and mpi4py cannot connect them.
    """
    started = max(
        (int(os.environ[name]) for name in SIZES if os.environ.get(name, "").isdecimal()), default=1
    )
    if started == 1:
        yield SingleProcess()
        return
    comm, here = _connect(started)
    _share_cores(here)
    ranks = Communicator(comm, here)
    try:
        with silenced() if comm.rank else contextlib.nullcontext():
            yield ranks
            ranks.wait()
    except BaseException as error:
        if not ranks.interrupted:
            _last_words(error, comm.rank, describe)
            code = _exit_code(error)
            comm.Abort(code)
            os._exit(code)  # some libraries return from Abort
        if comm.rank:
            silence()
        raise


def choose_device(name: str, ranks: Ranks, say: Say, tf32: bool = False) -> Device:
    """Return the device as arrays.choose_device does; of several processes on one machine, each
    takes the GPU of its own number.

    UsageError: processes would share a GPU, which NCCL does not support.
    """
    device = arrays.choose_device(name, say, tf32)
    if device.index is None or ranks.beside == 1:
        return device
    cards = 1 if ":" in name else arrays.gpu_count()
    if ranks.beside > cards:
        what = (
            f"{name} is one GPU" if ":" in name else f"it has {cards} GPU{'s' if cards > 1 else ''}"
        )
        remedy = "use --device gpu, " if ":" in name else ""
        raise UsageError(
            f"{ranks.beside} processes were started on this machine, and {what}; {remedy}start at most one process for "
            "each GPU, or use --device cpu."
        )
    return arrays.choose_device(f"gpu:{ranks.local}", tf32=tf32)


def _connect(started: int) -> tuple[Any, Any]:
    """Return the MPI communicators of all processes and of those on this machine."""
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
    return MPI.COMM_WORLD, MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED)


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


def _exit_code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
    # click's errors carry theirs
    return 2 if isinstance(error, UsageError) else getattr(error, "exit_code", 1)


def _last_words(
    error: BaseException, rank: int, describe: Callable[[BaseException], str | None]
) -> None:
    """Print the error of this process.  If all processes have the same one, the first prints it and
    ends the others.

    Each waits for a moment: a launcher that ends its processes may drop what it has not read from them yet.
    """
    if rank:
        time.sleep(2)
    if isinstance(error, KeyboardInterrupt):
        warn("Terminated." if isinstance(error, Terminated) else "Interrupted.")
    else:
        known = isinstance(error, RawconvError | UsageError)
        sentence = str(error) if known else describe(error)
        if sentence is None:
            sys.excepthook(type(error), error, error.__traceback__)
        warn(f"Error: process {rank}: {sentence or error or type(error).__name__}")
    time.sleep(0.5)
