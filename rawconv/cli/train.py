"""rawconv-train: arguments in, calls, messages out."""

import contextlib
from pathlib import Path

import click

from ..errors import UsageError
from ..files.locks import locked
from .common import command, echo, finish, new_run_folder, refusal, refuse_existing, say
from .options import (
    device_option,
    json_option,
    list_options,
    options_given,
    seed_option,
    tf32_option,
    workspace_option,
)

# Options that may be given with --resume; all others are those of the run.
FREE_ON_RESUME = (
    "resume",
    "device",
    "workspace",
    "save-every",
    "watch",
    "graph",
    "check-grads",
    "json",
)
NAMED_DATA = ("train", "val", "labels", "synsets", "range")  # options that become part of --data


@command("rawconv-train")
@click.option(
    "--data",
    help="Data set: scenes:N, framed:N; a folder, .zip or packed file of classes; CIFAR, MNIST.  [scenes]",
)
@list_options
@click.option(
    "--model", help="Model: zf64, zf32, lenet, zfnet, alexnet or a variant of one of them.  [zf64]"
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="Number of passes over the training pictures.  [30; large nets: 70]",
)
@click.option("--batch", type=click.IntRange(1), help="Number of pictures in a step.  [128]")
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    help="Highest learning rate.  [0.01; lenet: 0.001]",
)
@click.option(
    "--schedule",
    type=click.Choice(("plateau", "cosine", "step", "constant")),
    help="Schedule by which the learning rate falls.  [cosine; large nets: plateau]",
)
@click.option(
    "--warmup",
    type=click.FloatRange(0),
    help="Number of epochs over which the learning rate rises to --lr.  [0.5; large nets: 0]",
)
@click.option(
    "--momentum",
    type=click.FloatRange(0, 1, max_open=True),
    help="Momentum of the gradient descent.  [0.9]",
)
@click.option("--decay", type=click.FloatRange(0), help="Weight decay.  [0.0005]")
@click.option(
    "--dropout",
    type=click.FloatRange(0, 1, max_open=True),
    help="Dropout rate of the fully connected layers.  [0.5; nets of 64 pixels: 0.3]",
)
@click.option(
    "--renorm",
    type=click.FloatRange(0),
    help="Largest RMS of a filter, scaled back beyond it; 0: no limit.  [0.1]",
)
@click.option(
    "--crop",
    type=click.Choice(("ten", "random", "pad4")),
    help="Crops of a picture that the net learns from.  [pad4; large nets: ten]",
)
@click.option(
    "--colour",
    type=click.FloatRange(0),
    metavar="STRENGTH",
    help="Strength of the colour jitter; Krizhevsky used 0.1.  [0]",
)
@click.option(
    "--class-weights",
    type=click.Choice(("balanced",)),
    help="Weights of the classes in the loss, so that rare ones count as much as common ones.  [all alike]",
)
@click.option(
    "--rate",
    "lr_multipliers",
    multiple=True,
    metavar="LAYER=SHARE",
    help="Factor of the learning rate in a layer; repeatable.  [1; in zf64 and zf32 conv1=0.1]",
)
@click.option(
    "--conv",
    type=click.Choice(("auto", "gemm", "winograd", "direct", "implicit")),
    default="auto",
    help="Algorithm of the convolutions.  [auto]",
)
@click.option("--out", type=click.Path(), help="Folder of the new run.  [runs/<model>-<data>-<n>]")
@click.option(
    "--resume", type=click.Path(), help="Continue an interrupted run: its folder or its last.h5."
)
@click.option(
    "--weights",
    type=click.Path(),
    help="Checkpoint to start from, or to test.  [random weights; to test: the newest]",
)
@click.option(
    "--fine-tune",
    is_flag=True,
    help="Replace the last layer of --weights by a new one, for the classes of --data.",
)
@click.option(
    "--freeze",
    "frozen",
    metavar="LAYER",
    help="Highest layer that does not learn; nor do those below it.  [none]",
)
@click.option(
    "--save-every",
    type=click.FloatRange(0, min_open=True),
    default=10,
    metavar="MINUTES",
    help="Time between two checkpoints within an epoch.  [10]",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Log the update ratio and the number of dead channels of every layer.",
)
@click.option(
    "--graph",
    is_flag=True,
    help="Launch most of a step as one CUDA graph, on a GPU; the numbers stay the same.",
)
@click.option(
    "--test-only",
    is_flag=True,
    help="Only test --weights (or the newest checkpoint) on --data; write its confusion matrix and mistakes.",
)
@click.option("--split", type=click.Choice(("train", "val", "test", "all")),
              help="Pictures that --test-only tests.  [val; all of a folder without any]")  # fmt: skip
@click.option(
    "--views",
    type=click.Choice(("1", "10")),
    help="Number of crops of each picture that --test-only averages.  [1]",
)
@click.option(
    "--check-grads",
    is_flag=True,
    help="Only compare the gradients with finite differences, in float64.",
)
@workspace_option
@seed_option
@device_option
@tf32_option
@json_option
def main(
    data, model, seed, device, tf32, conv, workspace, out, resume, weights, fine_tune, lr_multipliers, save_every,
    watch, graph, dropout, test_only, split, views, check_grads, train, val, labels, synsets, value_range, as_json,
    **changes,
):  # fmt: skip
    """Train a net.  Without arguments: zf64 on the built-in scenes.

    Defaults are in brackets.  Where large nets, for pictures of 128 pixels and more, have another default, it comes
    second, and is the paper's.

    Examples:

    \b
    rawconv-train --data photos/ --epochs 30
    rawconv-train --resume runs/zf64-photos-1
    rawconv-train --data photos/ --weights weights/photos.h5 --fine-tune --freeze conv5
    rawconv-train --test-only --views 10 --weights runs/zf64-photos-1/best.h5
    rawconv-train --train photos/first --val photos/second
    mpirun -n 4 rawconv-train --data imagenet/ --model zfnet --device gpu
    """

    from ..data.sources import source_text
    from ..machine.distributed import choose_device, init_distributed
    from ..training import runs
    from ..training.gradient_check import check_gradients
    from ..training.recipes import FIELDS
    from ..training.step_graph import check_graph
    from ..training.testing import test_checkpoint

    changes = {
        FIELDS.get(name, name): value for name, value in changes.items() if value is not None
    }
    speak = say if as_json else echo
    with init_distributed(refusal) as ranks:
        _check_together(test_only, views, split, resume)
        if lr_multipliers:
            changes["lr_multipliers"] = dict(map(_layer_and_factor, lr_multipliers))
        data = source_text(data, train, val, labels, synsets, value_range)
        if out and ranks.rank == 0:
            refuse_existing(out)
        with choose_device(device, ranks, say, tf32) as device, contextlib.ExitStack() as held:
            if test_only:
                results = test_checkpoint(
                    weights,
                    data,
                    device,
                    speak,
                    workspace,
                    conv,
                    int(views or 1),
                    out,
                    ranks,
                    split,
                )
                return finish(results.pop("folder", None), results, as_json)
            if resume:
                if ranks.rank == 0 and not check_grads:
                    held.enter_context(runs.locked_run(resume))
                run, workspace = _resume(resume, data, say)
                conv = None  # the run keeps its own
                if run.net.execution.tf32:
                    on_gpu = device.index is not None
                    say(
                        f"The run is in TF32{'' if on_gpu else ' and goes on in float32, on the CPU'}."
                    )
            else:
                run = runs.start(model, data, weights, seed, changes, fine_tune=fine_tune)
                if dropout is not None:
                    runs.choose_dropout(run.net, dropout)
            if graph:
                check_graph(device, ranks)
            runs.choose_conv(run.net, conv, device)
            if workspace:
                runs.limit_columns(run.net, workspace)
            if check_grads:
                return finish(None, check_gradients(run, speak), as_json)
            _check_batch(run, device, ranks)
            folder = ranks.broadcast(_folder(run, out, held) if ranks.rank == 0 else None)
            results = runs.train_run(
                run, folder, device, say, ranks=ranks, minutes=save_every, watch=watch, graph=graph
            )
            _tell_lowest(results, run.data.classes, say)
            finish(folder, results, as_json)


def _check_together(test_only, views, split, resume):
    """UsageError: the options do not go together."""
    if views and not test_only:
        raise click.UsageError("--views is for --test-only; training crops as its recipe says.")
    if split and not test_only:
        raise click.UsageError("--split is for --test-only; training takes the training pictures.")
    if resume and test_only:
        raise click.UsageError(
            "--resume trains and --test-only does not; name the checkpoint to test with --weights."
        )


def _resume(path, data, tell):
    """Return (the interrupted Run, the workspace of the command line)."""
    from ..training import runs

    chosen = {name: value for name, value in options_given().items() if name not in NAMED_DATA}
    chosen |= {"data": data} if data else {}
    run = runs.resume(
        path, {name: value for name, value in chosen.items() if name not in FREE_ON_RESUME}, tell
    )
    return run, chosen.get("workspace")


def _tell_lowest(results, classes, tell):
    from ..training.evaluation import lowest

    if accuracies := results.get("val_per_class"):  # not in the log of an older version
        tell(f"Validation, epoch {results['epoch']}: {lowest(classes, accuracies)}")


def _layer_and_factor(text):
    """ "conv1=0.1" -> ("conv1", 0.1)."""
    layer, _, factor = text.partition("=")
    try:
        value = float(factor)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise click.UsageError(
            f"--rate {text!r} is not LAYER=SHARE; write, for example, conv1=0.1."
        )
    return layer, value


def _check_batch(run, device, ranks):
    """UsageError: the batch does not fit into memory, or is smaller than the number of processes of
    a new run.
    """
    from ..training.memory_model import check_batch

    if run.recipe.batch < ranks.size and not run.state:
        raise UsageError(
            f"--batch {run.recipe.batch} is fewer pictures than the {ranks.size} processes, so that some would never "
            "have any; raise --batch, or start fewer processes."
        )
    check_batch(run.net, run.recipe, len(run.data.train), device, ranks, run.state is not None)


def _folder(run, out, held):
    """Create the run's folder, in the first process alone, lock it until `held` is closed, and return it."""
    folder = run.folder or (Path(out) if out else new_run_folder(run.net.model, run.data.name))
    folder.mkdir(parents=True, exist_ok=True)
    held.enter_context(locked(folder))
    if not run.folder:
        # again: another process may have begun and ended there while the data were read
        refuse_existing(folder)
    return folder


if __name__ == "__main__":
    main()
