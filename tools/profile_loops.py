#!/usr/bin/env python3
"""What can be counted of a training step of the small nets: its Python calls, and the instructions of
floating-point arithmetic in its loops' machine code, of vectors and of single numbers.

python tools/profile_loops.py --json

Such loops are compiled anew for that, in half a minute; code from the cache cannot be looked at.
profile_step.py has the times.
"""

import collections
import json
import os
import pathlib
import re
import sys
import tempfile

import click

ARITHMETIC = re.compile(r"\bv(?:add|sub|mul|div|sqrt|fn?m(?:add|sub)\d+)([ps])[sd]\b")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(as_json):
    """Count the calls of a step, and the vector instructions of its loops."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"NUMBA_CACHE_DIR": folder, "RAWCONV_NUM_THREADS": "1"}
        from profile_step import BATCHES, MODELS, calls_of, step_of

        calls = {}
        for model in MODELS:
            steps = {f"b{batch}": step_of(model, batch) for batch in BATCHES}
            for step in steps.values():
                step()
            calls[model] = {name: calls_of(step) for name, step in steps.items()}
        found = {"calls": calls, "loops": instructions()}
    click.echo(json.dumps(found, indent=None if as_json else 1))


def instructions():
    """{loop: {"vector", "scalar", "share" of vectors}} of every loop of the package that was compiled."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("rawconv."):
            for loop in vars(module).values():
                if (
                    hasattr(loop, "inspect_asm")
                    and loop.py_func.__module__ == name
                    and loop.signatures
                ):
                    counts = counted("".join(loop.inspect_asm().values()))
                    if counts:
                        found[loop.__name__] = counts
    return found


def counted(text):
    """The instructions in one text of machine code; None where it has none."""
    counts = collections.Counter(ARITHMETIC.findall(text))
    vector, scalar = counts["p"], counts["s"]
    if vector + scalar:
        return {"vector": vector, "scalar": scalar, "share": vector / (vector + scalar)}


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main()
