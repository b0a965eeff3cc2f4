"""What works on this machine, and the one command that mends what does not.

report = examine("auto")     {"device", "works", "why", "findings": [Finding, ...]}
Nothing heavy is imported at the top: what is broken must be reported, not raised.
"""

from __future__ import annotations

import errno
import importlib
import math
import os
import platform
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import UsageError
from ..machine import environment, launchers, limits
from . import gpu
from .finding import Finding, line_of


def examine(name: str = "auto") -> dict[str, Any]:
    """Examine everything; say whether the device `name` (auto, cpu, gpu or gpu:N) works, and if not why.

    UsageError: `name` is no device.
    """
    findings = [
        _python(),
        *_memory(),
        _library("NumPy", "numpy"),
        _numba(),
        *_loops(),
        _blas(),
        _threads(),
        *gpu.findings(),
        _mpi(),
    ]
    device, why = _choose(name)
    if device.startswith("gpu") and not why:
        findings.append(gpu.kernel(int(device[4:])))
        why = _first(findings[-1:], ["kernel"], ["broken"])
    elif device.startswith("gpu"):
        why = _first(findings, ["CuPy", "GPU"], ["missing", "broken"]) or why
    why = _first(findings[::-1], ["memory", "NumPy", "Numba", "threads"], ["broken"]) or why
    return {"device": device, "works": why is None, "why": why, "findings": findings}


def _first(findings: Sequence[Finding], names: Sequence[str], states: Sequence[str]) -> str | None:
    """Return "name: text" of the first finding of these names in one of these states; None where
    there is none.
    """
    return next(
        (
            f"{finding.name}: {finding.text}"
            for finding in findings
            if finding.name in names and finding.state in states
        ),
        None,
    )


def _choose(name: str) -> tuple[str, str | None]:
    """Return (the device that a command would use, why there is none)."""
    from ..machine.arrays import choose_device

    try:
        return str(choose_device(name)), None
    except UsageError:
        raise
    except Exception as error:
        return name, line_of(error)


def _python() -> Finding:
    return Finding(
        "Python", "ok", f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    )


def _memory() -> Iterator[Finding]:
    if limits.address_space() < environment.LEAST:
        text = f"ulimit -v grants {int(limits.address_space()) >> 20} MB; libraries may hang or crash below 1024 MB"
        yield Finding("memory", "broken", text, "ulimit -v unlimited")


def _library(name: str, module: str) -> Finding:
    try:
        return Finding(name, "ok", importlib.import_module(module).__version__)
    except Exception as error:
        return Finding(name, "broken", line_of(error), f"pip install --force-reinstall {module}")


def _numba() -> Finding:
    reinstall = "pip install --force-reinstall numba"
    if any(_memory()):
        return Finding(
            "Numba",
            "missing",
            "not tried: it may crash with so little memory",
            "ulimit -v unlimited",
        )
    try:
        numba = environment.load_numba()
        if numba.njit(lambda n: n + 1)(41) != 42:
            raise ValueError("a compiled loop gives a wrong result")
    except UsageError as error:
        (variable, *_) = re.findall("NUMBA_[A-Z_]+", str(error))
        return Finding("Numba", "broken", line_of(error), f"unset {variable}")
    except Exception as error:
        return Finding("Numba", "broken", line_of(error), reinstall)
    return Finding("Numba", "ok", f"{numba.__version__}, compiles")


def _loops() -> Iterator[Finding]:
    """Examine the folders of compiled loops: damaged files, and folders that are full or cannot be
    written.
    """
    try:
        from ..machine import numba_cache
    except Exception:  # Numba's finding says it
        return
    folders = numba_cache.folders()
    for folder in folders:
        if files := numba_cache.damaged(folder):
            text = f"{len(files)} kept in {folder} are damaged; each is compiled anew when it is needed"
            yield Finding("loops", "broken", text, f"rm {shlex.quote(str(folder))}/*.nbc")
    faults = [numba_cache.why_unwritable(folder) or "" for folder in folders]
    if "" in faults:
        yield Finding("loops", "ok", f"kept in {folders[faults.index('')]}")
    else:
        text = f"cannot be kept in {folders[-1]} ({faults[-1]}): each command compiles its own, up to half a minute"
        yield Finding("loops", "broken", text, _loops_remedy(faults[-1]))


def _loops_remedy(why: str) -> str:
    full = why in (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), os.strerror(errno.EFBIG))
    return (
        "df -h: free some space there"
        if full
        else "export NUMBA_CACHE_DIR=FOLDER, one that you may write to"
    )


def _blas() -> Finding:
    try:
        import numpy  # noqa: F401  (its library must be loaded to be seen)
        from threadpoolctl import threadpool_info
    except ImportError as error:
        return Finding(
            "BLAS", "broken", line_of(error), "pip install --force-reinstall threadpoolctl"
        )
    libraries = {f"{i['internal_api']} {i['version']}, {i['num_threads']} threads": None
            for i in threadpool_info() if i["user_api"] == "blas"}  # fmt: skip
    if not libraries:
        text = "one whose threads cannot be set; beside rawconv's own they slow it down"
        return Finding("BLAS", "missing", text, "export OMP_NUM_THREADS=1 VECLIB_MAXIMUM_THREADS=1")
    return Finding(
        "BLAS", "ok", f"{'; '.join(libraries)} (rawconv sets 1 for each thread of its own)"
    )


def _threads() -> Finding:
    try:
        from ..machine.threads import thread_count

        quota = limits.cpu_quota()
        bound = "" if quota == math.inf else f", a quota of {quota:g} by the container"
        return Finding(
            "threads", "ok", f"{thread_count()} of rawconv, {os.cpu_count()} cores{bound}"
        )
    except UsageError as error:
        return Finding("threads", "broken", line_of(error), "unset RAWCONV_NUM_THREADS")
    except Exception as error:  # what else is broken has said so already
        return Finding("threads", "broken", line_of(error))


def _mpi() -> Finding:
    return Finding("MPI", *launchers.state())
