"""What all benchmarks print: rows, their ratios, and what the machine can do at most, measured beside them."""

import datetime
import importlib.util
import json
import platform
import re
import statistics
import time
from importlib import metadata

import click
import numpy as np
from bench_contention import disturbance, median_share, told

from rawconv.machine.threads import run_blocks, thread_count


def spread(seconds):
    """{"median", "low", "high", "least"}: the middle half of some times lies between low and high."""
    low, median, high = (
        statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    )
    return {"median": median, "low": low, "high": high, "least": min(seconds)}


def row(work, rounds, flops=0, **more):
    """One line of a table: {way: spread}, ours over the fastest other (`ratio`, `least_ratio`), what
    others took of the processors (`others`), and what ours computes a second.

    ClickException where no round was clean.
    """
    need_a_clean_round(work, rounds)
    ratio, least = rounds.ratios
    return {
        "work": work,
        "ways": {way: spread(times) for way, times in rounds.seconds.items()},
        "ratio": ratio,
        "least_ratio": least,
        **disturbance(rounds.shares),
        "gflops": flops / statistics.median(rounds.seconds["rawconv"]) / 1e9,
        **more,
    }


def need_a_clean_round(work, rounds):
    """ClickException where others disturbed every one of bench_rounds.Rounds."""
    if not any(rounds.seconds.values()):
        raise click.ClickException(
            f"{work}: others took {median_share(rounds.shares):.0%} of the processors; "
            "nothing can be said of it now."
        )


def sgemm_peak(size=1536, rounds=8):
    """GFLOP/s of the best of some products of square float32 matrices, one BLAS thread on each of
    our threads.
    """
    count = thread_count()
    a = np.random.default_rng(0).random((2, size, size), np.float32)
    out, best = np.empty((count, size, size), np.float32), 0
    for _ in range(rounds):
        begin = time.perf_counter()
        run_blocks(lambda i: np.matmul(a[0], a[1], out=out[i]), range(count))
        best = max(best, 2e-9 * count * size**3 / (time.perf_counter() - begin))
    return best


def machine():
    """What a number must not be quoted without."""
    torch = metadata.version("torch") if importlib.util.find_spec("torch") else "none"
    name = platform.processor()
    if platform.system() == "Linux":
        with open("/proc/cpuinfo") as file:
            found = re.search(r"model name\s*: (.*)", file.read())
        name = found[1] if found else name
    return {
        "cpu": name, "threads": thread_count(), "sgemm_peak": sgemm_peak(), "date": datetime.date.today().isoformat(),
        "python": platform.python_version(), "numpy": np.__version__, "torch": torch,
    }  # fmt: skip


def report(command, rows, path, **more):
    """Print the rows as a table; with a path, write them and the machine as JSON, from which
    bench.py table reads.
    """
    results = {"command": command, "rows": rows, **machine(), **more}
    click.echo(lines(results))
    if path:
        with open(path, "w") as file:
            json.dump(results, file, indent=1)


def lines(results):
    """The table for a terminal; milliseconds, the middle half in brackets."""
    head = f"{'':34}{'rawconv':>26}{'ratio':>7}{'least':>7}{'GFLOP/s':>9}{'of peak':>8}   others"
    text = [head]
    for one in results["rows"]:
        ways = {
            way: "{median:.2f} [{low:.2f} {high:.2f}]".format(**_ms(value))
            for way, value in one["ways"].items()
        }
        ours = ways.pop("rawconv")
        rate = (
            f"{one['gflops']:9.1f}{one['gflops'] / results['sgemm_peak']:8.0%}"
            if one["gflops"]
            else " " * 17
        )
        rivals = "   ".join(f"{way} {value}" for way, value in ways.items())
        memory = (
            "   peak MB " + ", ".join(f"{k} {v / 1e6:.0f}" for k, v in one["memory"].items())
            if "memory" in one
            else ""
        )
        missing = "".join(
            f"   {way} does not run here: {why}" for way, why in one.get("missing", {}).items()
        )
        text.append(
            f"{one['work']:34}{ours:>26}{ratio_text(one['ratio']):>7}{ratio_text(one['least_ratio']):>7}{rate}   "
            f"{rivals}{memory}   {told(one)}{missing}"
        )
    text.append(
        f"milliseconds, medians [quartiles]; ratio: to the fastest other, least: of the shortest rounds; "
        f"{conditions(results)}"
    )
    return "\n".join(text)


def conditions(results):
    return (
        f"{results['cpu']}, {results['threads']} threads, sgemm {results['sgemm_peak']:.0f} GFLOP/s; "
        f"PyTorch {results['torch']}, NumPy {results['numpy']}, Python {results['python']}; {results['date']}"
    )


def ratio_text(value):
    return "-" if value is None else f"{value:.2f}"


def _ms(value):
    return {key: seconds * 1e3 for key, seconds in value.items()}


rounds_option = click.option("--rounds", type=click.IntRange(1), default=10, show_default=True)
json_option = click.option(
    "--json", "path", type=click.Path(dir_okay=False), help="Write the results there."
)
