"""What the experiments' commands share: their options, and how an experiment is carried out."""

import functools
import importlib
import os
import re

import click

from ...errors import RawconvError, UsageError
from ..common import echo, finish, refusal, say
from ..options import options_given, weights_option, where_options

SHARED = ("occlusion",)  # experiments whose steps several processes share


def shared_options(function):
    """The options of every experiment, passed on as they are: `where` of carry_out."""
    return weights_option(where_options(function))


def defaults(**texts):
    """Let the helps of a command's options say these defaults, where they are not those of most commands."""

    def say_them(asked):
        for option in asked.params:
            if option.name in texts:
                option.help = re.sub(r"\[.+\]$", f"[{texts[option.name]}]", option.help)
        return asked

    return say_them


label_option = click.option(
    "--label", metavar="CLASS", help="True class of the PICTUREs.  [the net's own answer for each]"
)
count_option = functools.partial(
    click.option,
    "--count",
    show_default=True,
    type=click.IntRange(1, 24),
    help="Number of validation pictures, if no PICTURE is named.",
)
fill_option = functools.partial(
    click.option, "--fill", show_default=True, metavar="0-255|R,G,B|mean"
)
no_train_option = click.option(
    "--no-train", is_flag=True, help="Fail instead of training a net that is missing."
)


def new_class_options(function):
    """What the experiments on new classes share; those of held_out.load are `new` of carry_out."""
    for option in (
        click.option(
            "--quick",
            is_flag=True,
            help="Use a tiny net, few pictures and two folds, to try the command; the numbers mean nothing.",
        ),
        no_train_option,
        click.option(
            "--all-classes",
            is_flag=True,
            help="Include the classes that --weights was trained on; results on them are no transfer.",
        ),
        click.option(
            "--epochs",
            default=10,
            show_default=True,
            type=click.IntRange(1),
            help="Number of epochs of the pretraining.",
        ),
        click.option(
            "--test",
            default=50,
            show_default=True,
            type=click.IntRange(1),
            help="Largest number of test pictures of each class.",
        ),
        click.option(
            "--folds",
            default=5,
            show_default=True,
            type=click.IntRange(1),
            help="Number of draws of training and test pictures from all pictures of a class.",
        ),
    ):
        function = option(function)
    return function


def carry_out(name, options, where, split="val", needs=None, shows=None, new=None):
    """Run rawconv.experiments.<name>.run(subject, study, **options), write its results and say what it shows.

    options: all that decides the numbers, beside the subject.  where: {weights, data, out, device,
    tf32, workspace, force, as_json} of shared_options, and perhaps images, see subject.load.  needs:
    subject -> {option: [files of other checkpoints]}, trained if they have to be.
    shows: subject -> [subject.Shown], the option `pictures` of an experiment about single ones.
    new: options of held_out.load, where the net is to be one that has not seen the classes of the data.
    """
    from ... import checkpoint
    from ...experiments import held_out, study, subject
    from ...machine.distributed import choose_device, init_distributed
    from ...visualize.scan_record import fingerprint

    with init_distributed(refusal) as ranks:
        _need_one_process(name, ranks)
        device = choose_device(where["device"], ranks, say, where["tf32"])
        with device:
            weights, data, workspace = where["weights"], where["data"], where["workspace"]
            if new:
                loaded = held_out.load(weights, data, device, workspace, say=say, **new)
            else:
                loaded = subject.load(
                    weights, data, device, workspace, where.get("images"), whole=True
                )
            options = options | default_layers(loaded.net, options)
            identity = loaded.identity(split) | options
            for option, files in (needs(loaded) if needs else {}).items():
                options = options | {option: files}
                identity |= {
                    option: files,
                    f"{option}_sha256": [fingerprint(checkpoint.load(file).net) for file in files],
                }
            if shows:
                options = options | {"pictures": shows(loaded)}
                identity |= {"pictures": [shown.identity() for shown in options["pictures"]]}
            place = loaded.place(name)
            steps = study.begin(name, identity, *place, where["out"], where["force"], ranks)
            try:
                experiment = importlib.import_module(f"...experiments.{name}", __package__)
                result = None if steps.known else experiment.run(loaded, steps, **options)
            except (RawconvError, UsageError):
                steps.withdraw()
                raise
        if ranks.rank == 0:
            conclude(steps, result, where["as_json"])


def _need_one_process(name, ranks):
    if ranks.size > 1 and name not in SHARED:
        raise UsageError(
            f"{ranks.size} processes were started together, and rawconv-experiment {name} is the work of one; "
            "start it without mpirun or srun."
        )


def refuse_in_use(out):
    """RawconvError where another process works in the folder of --out: rather now than after the nets
    that are needed were trained."""
    from ...files.locks import refuse_held

    if out:
        refuse_held(out)


def need_one_process(name):
    """Refuse several processes before an experiment trains what it needs."""
    from ...machine.distributed import init_distributed

    with init_distributed(refusal) as ranks:
        _need_one_process(name, ranks)


def default_layers(net, options):
    """{option: layer} for the options that were not given, and whose layers of the paper the net has not.

    For `layer` the net's own default is taken, and told; UsageError where there are others.
    """
    from ...visualize.default_layer import default_layer, short_names
    from ...visualize.units import layer_object

    named, chosen = options_given(), {}
    for option, name in (("layer", "layer"), ("layer", "layers"), ("low", "low"), ("high", "high")):
        if option in named or name not in options:
            continue
        wanted = options[name] if isinstance(options[name], list) else [options[name]]
        try:
            for layer in wanted:
                layer_object(net, layer)
        except UsageError as error:
            if name != "layer":
                raise UsageError(
                    f"This net has no layer {layer}, which is taken without --{option}; name one of its own with "
                    f"--{option}: {short_names(net)}."
                ) from error
            chosen[name] = default_layer(net)
            say(
                f"This net has no {layer}; its layer {chosen[name]} is taken. --layer names another."
            )
    return chosen


def need_files(pictures, label=None):
    """UsageError where a PICTURE is not there, or a folder, or a --label has none."""
    from ...machine.distributed import init_distributed

    with init_distributed(refusal):
        if label and not pictures:
            raise UsageError("--label is the class of the PICTUREs; name one, or leave it out.")
        for image in pictures:
            if not os.path.exists(image):
                raise UsageError(f"There is no picture {image}.")
            if os.path.isdir(image):
                raise UsageError(f"{image} is a folder; name the pictures in it.")


def named_or_first(pictures, label, count, wrong=0):
    """`shows` of carry_out: the PICTUREs with their --label, or else `count` validation pictures."""

    def chosen(loaded):
        from ...experiments.subject import shown

        return shown(loaded, pictures, label, count, wrong)

    return chosen


def conclude(steps, result, as_json=False):
    """Write the files of a Result (None: they are known already) and end the command."""
    results = steps.finish(result)
    for sentence in results["sentences"]:
        (say if as_json else echo)(sentence)
    finish(steps.folder, results, as_json)
