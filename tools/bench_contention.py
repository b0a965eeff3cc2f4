"""How much of the processors' time other programs took while something ran, by the kernel's own count.

Beside a busy neighbour threads that wait awake, as those of OpenMP do, lose far more than threads
that sleep: the same two programs had a ratio of 0.30 with one neighbour and of 0.65 without.  So a
round in which others took more than MOST is dropped, and a ratio needs FEWEST clean rounds.

    before = reading()
    ...
    share = others(before, reading())       of all processors this program may use, 0 to 1
"""

from __future__ import annotations

import os
import pathlib
import statistics
from typing import NamedTuple

MOST = 0.03  # of the processors' time, in a clean round
FEWEST = 5  # clean rounds
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
IDLE = (3, 4)  # of the columns of a processor in /proc/stat: idle, and waiting for a disk
COLUMNS = 8  # user nice system idle iowait irq softirq steal; those after are part of user


class Reading(NamedTuple):
    """Seconds since the machine started: of all processors together, of these busy, and what this
    program and those it started took.
    """

    total: float
    busy: float
    own: float


def reading(proc: str | os.PathLike[str] = "/proc", pid: int | None = None) -> Reading | None:
    """Read the counts of now; None where the system has no /proc.

    proc: the folder.  pid: of the program, by default this one.
    """
    proc = pathlib.Path(proc)
    if not (proc / "stat").exists():
        return None
    columns = _processors((proc / "stat").read_text())
    total = sum(map(sum, columns))
    idle = sum(one[k] for one in columns for k in IDLE)
    return Reading(total / TICKS, (total - idle) / TICKS, _tree(proc, pid or os.getpid()) / TICKS)


def others(before: Reading | None, after: Reading | None) -> float:
    """Return the share of the processors' time that others took between two readings; NaN where
    nobody knows.
    """
    if before is None or after is None or after.total <= before.total:
        return float("nan")
    busy, own = after.busy - before.busy, after.own - before.own
    return max(0.0, (busy - own) / (after.total - before.total))


def is_clean(share: float) -> bool:
    """Whether a round in which others took so much counts; it does where nobody knows."""
    return not share > MOST


def median_share(shares: list[float]) -> float:
    return statistics.median(shares) if shares else float("nan")


def disturbance(shares: list[float]) -> dict[str, float | int]:
    """{"others": their share in the clean rounds, the median, or in all where none is clean;
    "clean", "dropped": how many rounds}.
    """
    clean = [share for share in shares if is_clean(share)]
    return {
        "others": median_share(clean or shares), "clean": len(clean), "dropped": len(shares) - len(clean),
    }  # fmt: skip


def told(row: dict[str, float | int]) -> str:
    """Say a row's disturbance in words."""
    dropped = f", {row['dropped']} dropped" if row["dropped"] else ""
    few = "" if row["clean"] >= FEWEST else f": too few for a ratio, which needs {FEWEST}"
    return f"others {row['others']:.1%} in {row['clean']} clean rounds{dropped}{few}"


def _processors(text: str) -> list[list[int]]:
    """The columns of the processors that this program may use, in ticks."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    lines = [line.split() for line in text.splitlines() if line.startswith("cpu")]
    return [
        [int(n) for n in numbers[:COLUMNS]]
        for name, *numbers in lines
        if name != "cpu" and (allowed is None or int(name[3:]) in allowed)
    ]


def _tree(proc: pathlib.Path, pid: int) -> int:
    """Ticks that a program, those it started and those of them that have ended took."""
    parents, ticks = {}, {}
    for path in proc.glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:  # it has ended
            continue
        fields = text.rpartition(")")[2].split()  # a program's name may hold anything
        number = int(path.parent.name)
        parents[number], ticks[number] = int(fields[1]), sum(map(int, fields[11:15]))
    tree = {pid}
    while more := {one for one, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sum(ticks.get(one, 0) for one in tree)
