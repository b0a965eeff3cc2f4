#!/usr/bin/env python3
"""Benchmarks against others, in one run on one machine: rounds take turns, medians and their ratios
are printed.

python tools/bench.py step --model zfnet --json step.json      needs PyTorch; see each command's --help
python tools/bench.py --device gpu                             on a GPU; with --dry its roofline alone, anywhere

One file a command, bench_NAME.py with a click command `main`; what they share is in bench_rounds.py
(turns), bench_contention.py (which rounds count), bench_timing.py (tables, the machine) and
bench_rival.py (the same nets in PyTorch).
"""

import importlib
import pathlib

import click

NAMES = (
    "against",
    "layers",
    "errors",
    "auto",
    "step",
    "project",
    "visualize",
    "occlusion",
    "imported",
    "figure2",
    "gpu",
    "host",
    "reader",
    "mpi",
    "table",
)


class _Benchmarks(click.Group):
    """Imports a command when it is asked for."""

    def parse_args(self, ctx, args):
        """`bench.py --device gpu ...` is `bench.py gpu --device gpu ...`."""
        return super().parse_args(ctx, ["gpu", *args] if args[:1] == ["--device"] else args)

    def list_commands(self, ctx):
        return [
            name for name in NAMES if pathlib.Path(__file__).with_name(f"bench_{name}.py").exists()
        ]

    def get_command(self, ctx, name):
        return (
            importlib.import_module(f"bench_{name}").main
            if name in self.list_commands(ctx)
            else None
        )


@click.group(cls=_Benchmarks)
def main():
    """Benchmarks; see each command's --help."""


if __name__ == "__main__":
    main()
