"""A table for a page of the documentation from what the other benchmarks wrote."""

import json

import click
from bench_timing import conditions, ratio_text


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
def main(files):
    """Print the JSON of `step`, `layers` and `project` as one Markdown table, under the machine it
    was measured on.
    """
    for path in files:
        with open(path) as file:
            click.echo(markdown(json.load(file)))


def markdown(results):
    text = [
        conditions(results) + ".",
        "",
        "| work | rawconv ms | PyTorch ms | ratio | of the shortest | others | GFLOP/s | of sgemm peak "
        "| peak memory MB, ours / PyTorch |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in results["rows"]:
        ours, others = (
            one["ways"]["rawconv"],
            [v for way, v in one["ways"].items() if way != "rawconv"],
        )
        rival = min(others, key=lambda value: value["median"])
        share = (
            f"{one['gflops']:.0f} | {one['gflops'] / results['sgemm_peak']:.0%}"
            if one["gflops"]
            else " | "
        )
        peaks = one.get("memory", {})
        least = min((value for way, value in peaks.items() if way != "rawconv"), default=0)
        memory = f"{peaks['rawconv'] / 1e6:.0f} / {least / 1e6:.0f}" if peaks else ""
        compared = (
            ratio_text(one["ratio"]),
            ratio_text(one["least_ratio"]),
            f"{one['others']:.1%}",
        )
        cells = [one["work"], _cell(ours), _cell(rival), *compared, share, memory]
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


def _cell(value):
    """The median and the middle half around it, in milliseconds."""
    median, low, high = (_number(value[key] * 1e3) for key in ("median", "low", "high"))
    return f"{median} ({low}–{high})"


def _number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
