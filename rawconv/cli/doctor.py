"""rawconv-doctor: what works here, how to mend what does not, and how much memory a training step takes."""

import click

from ..errors import UsageError
from .common import command, echo, finish
from .options import device_option, json_option

SIGNS = {"ok": "ok", "missing": "--", "broken": "!!"}


@command("rawconv-doctor")
@device_option
@click.option(
    "--memory", is_flag=True, help="Only list the memory of a training step, layer by layer."
)
@click.option("--model", help="Model for --memory.  [zf64]")
@click.option(
    "--batch", type=click.IntRange(1), help="Number of pictures in a step, for --memory.  [128]"
)
@click.option("--classes", type=click.IntRange(1), help="Number of classes, for --memory.  [1000]")
@click.option(
    "--workspace",
    type=click.IntRange(1),
    metavar="MB",
    help="Memory for the columns of a convolution, for --memory.  [256]",
)
@json_option
def main(device, memory, as_json, **sizes):
    """Check what works here, and say how to mend the rest.

    For each thing that is missing one command is printed.  The exit code is 0 if the device works, else 1.

    Examples:

    \b
    rawconv-doctor --device gpu
    rawconv-doctor --memory --model zfnet --batch 128
    """
    options_given = {name: value for name, value in sizes.items() if value is not None}
    if memory:
        return _memory(
            as_json,
            **{"model": "zf64", "batch": 128, "classes": 1000, "workspace": 256} | options_given,
        )
    if options_given:
        raise UsageError(f"--{next(iter(options_given))} is for --memory; add that.")
    from ..doctor import examine

    report = examine(device)
    if not as_json:
        _print(report)
    findings = [finding._asdict() for finding in report["findings"]]
    finish(None, report | {"findings": findings}, as_json)
    if not report["works"]:
        raise SystemExit(1)


def _print(report):
    for name, state, text, remedy in report["findings"]:
        echo(f"{SIGNS[state]}  {name:8s} {text}")
        if remedy and state != "ok":
            echo(f"             {remedy}")
    echo("")
    why = f" does not work: {report['why']}".rstrip(".") if report["why"] else " works"
    echo(f"{report['device']}{why}.")


def _memory(as_json, model, batch, classes, workspace):
    from ..training.memory_model import training_memory

    memory = training_memory(model, batch, classes, workspace)
    facts = {"model": model, "batch": batch, "classes": classes, "workspace": workspace}
    facts |= memory | {"rows": [row._asdict() for row in memory["rows"]]}
    if not as_json:
        _print_memory(facts)
    finish(None, facts, as_json)


def _print_memory(facts):
    echo(
        f"{facts['model']}, {facts['classes']} classes, {facts['batch']} pictures a step, float32; MB of 2^20 bytes"
    )
    echo("")
    names = ("kept", "parameters", "gradients", "momentum", "columns", "transient")
    echo(f"{'layer':8s}" + "".join(f"{name:>12s}" for name in names))
    for row in facts["rows"]:
        _line(row["name"], row["kept"], *[row["parameters"]] * 3, row["columns"], row["transient"])
    _line("together", facts["kept"], *[facts["parameters"]] * 3, "", "")
    echo("")
    parts = " + ".join(f"{name} {value / 2**20:.1f}" for name, value in facts["peak_parts"].items())
    echo(f"peak {facts['peak'] / 2**20:.1f} MB, {facts['peak_at']}: {parts}")
    echo(
        "kept: for the way back; transient: only while the step is in that layer, its columns included."
    )
    echo(
        "The driver's own memory comes on top, and what CuPy's pool keeps for later (up to a quarter more)."
    )


def _line(name, *values):
    cells = "".join(
        f"{value if value == '' else format(value / 2**20, '.1f') if value else '-':>12s}"
        for value in values
    )
    echo(f"{name:8s}{cells}")


if __name__ == "__main__":
    main()
