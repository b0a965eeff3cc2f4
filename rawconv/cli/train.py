"""rawconv-train: arguments in, calls, messages out."""

from pathlib import Path

import click

from .common import (
    command,
    device_option,
    finish,
    json_option,
    new_run_folder,
    refuse_existing,
    say,
    seed_option,
    workspace_option,
)


@command("rawconv-train")
@click.option("--data", help="scenes, scenes:N, a folder or .zip of class folders, CIFAR or MNIST files.  [scenes]")
@click.option("--model", help="zf64, zf32, lenet, zfnet, alexnet or a variant of theirs.  [zf64]")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training pictures.")
@click.option("--batch", type=click.IntRange(1), help="Pictures a step.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="The highest learning rate.")
@click.option("--schedule", type=click.Choice(("plateau", "cosine", "step", "constant")), help="How the rate falls.")
@click.option("--decay", type=click.FloatRange(0), help="Weight decay.")
@click.option(
    "--conv", type=click.Choice(("auto", "gemm", "winograd")), default="auto", help="How to convolve.  [auto]"
)
@click.option("--out", type=click.Path(), help="The new run's folder.  [runs/<model>-<data>-<n>]")
@click.option("--resume", type=click.Path(), help="Go on with an interrupted run: its folder or its last.h5.")
@click.option("--weights", type=click.Path(), help="Start from (or test) the weights of this checkpoint.")
@click.option("--test-only", is_flag=True, help="Only validate --weights (or the newest checkpoint) on --data.")
@click.option("--check-grads", is_flag=True, help="Only compare the gradients with finite differences, in float64.")
@workspace_option
@seed_option
@device_option
@json_option
def main(data, model, seed, device, conv, workspace, out, resume, weights, test_only, check_grads, as_json, **changes):
    """Train a net.  Without arguments: zf64 on the built-in scenes.

    \b
    rawconv-train --data photos/ --epochs 30
    rawconv-train --resume runs/zf64-photos-1
    """

    from .. import runs
    from ..arrays import choose_device

    device = choose_device(device, say)
    changes = {name: value for name, value in changes.items() if value is not None}
    if out:
        refuse_existing(out)
    with device:
        if test_only:
            result = runs.test(weights, data, device, click.echo if not as_json else say, workspace)
            return finish(None, result, as_json)
        if resume:
            run = runs.resume(resume, {"data": data, "model": model, "weights": weights, "out": out, **changes})
        else:
            run = runs.start(model, data, weights, seed, changes)
        runs.choose_conv(run.net, conv, device)
        runs.limit_columns(run.net, workspace)
        if check_grads:
            return finish(None, runs.check_gradients(run, click.echo if not as_json else say), as_json)
        folder = run.folder or (Path(out) if out else new_run_folder(run.net.model, run.data.name))
        folder.mkdir(parents=True, exist_ok=True)
        finish(folder, runs.go(run, folder, device, say), as_json)


if __name__ == "__main__":
    main()
