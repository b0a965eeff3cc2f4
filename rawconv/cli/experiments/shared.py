"""What the experiments' commands share: their options, and how an experiment is carried out."""

import functools
import importlib
import os

import click

from ...errors import RawconvError, UsageError
from ..common import echo, finish, say, weights_option, where_options


def shared_options(function):
    """The options of every experiment, passed on as they are: `where` of carry_out."""
    return weights_option(where_options(function))


label_option = click.option("--label", metavar="CLASS", help="The PICTUREs' true class.  [what the net takes each for]")
count_option = functools.partial(
    click.option, "--count", show_default=True, type=click.IntRange(1, 24), help="Without PICTURE: validation pictures."
)
no_train_option = click.option(
    "--no-train", is_flag=True, help="Refuse where a net is needed that is not there, instead of training it."
)


def new_class_options(function):
    """What the experiments on new classes share; those of held_out.load are `new` of carry_out."""
    for option in (
        click.option("--quick", is_flag=True, help="A tiny net, few pictures, two folds: checks the form only."),
        no_train_option,
        click.option("--all-classes", is_flag=True, help="Also those that --weights was trained on."),
        click.option("--epochs", default=10, show_default=True, type=click.IntRange(1), help="Of the pretraining."),
        click.option(
            "--test", default=50, show_default=True, type=click.IntRange(1), help="Most test pictures a class."
        ),
        click.option("--folds", default=5, show_default=True, type=click.IntRange(1), help="Draws of the pictures."),
    ):
        function = option(function)
    return function


def carry_out(name, options, where, split="val", needs=None, shows=None, new=None):
    """Run rawconv.experiments.<name>.run(subject, study, **options), write its results and say what it shows.

    options: all that decides the numbers, beside the subject.  where: {weights, data, out, device, workspace, force,
    as_json} of shared_options.  needs: subject -> {option: [files of other checkpoints]}, trained if they have to be.
    shows: subject -> [subject.Shown], the option `pictures` of an experiment about single ones.
    new: options of held_out.load, where the net is to be one that has not seen the classes of the data.
    """
    from ... import checkpoint
    from ...experiments import held_out, study, subject
    from ...machine.arrays import choose_device
    from ...visualize.top_activations import fingerprint

    device = choose_device(where["device"], say)
    with device:
        found = (where["weights"], where["data"], device, where["workspace"])
        about = held_out.load(*found, say=say, **new) if new else subject.load(*found)
        identity = about.identity(split) | options
        for option, files in (needs(about) if needs else {}).items():
            options = options | {option: files}
            identity |= {option: files, f"{option}_sha256": [fingerprint(checkpoint.load(file).net) for file in files]}
        if shows:
            options = options | {"pictures": shows(about)}
            identity |= {"pictures": [one.identity() for one in options["pictures"]]}
        begun = study.begin(name, identity, *about.place(name), where["out"], where["force"])
        try:
            experiment = importlib.import_module(f"...experiments.{name}", __package__)
            result = None if begun.known else experiment.run(about, begun, **options)
        except (RawconvError, UsageError):
            begun.withdraw()
            raise
    conclude(begun, result, where["as_json"])


def need_files(pictures, label=None):
    """UsageError where a PICTURE is not there, or a folder, or a --label has none."""
    if label and not pictures:
        raise UsageError("--label is the class of the PICTUREs; name one, or leave it out.")
    for picture in pictures:
        if not os.path.exists(picture):
            raise UsageError(f"There is no picture {picture}.")
        if os.path.isdir(picture):
            raise UsageError(f"{picture} is a folder; name the pictures in it.")


def conclude(begun, result, as_json=False):
    """Write the files of a Result (None: they are known already) and end the command."""
    results = begun.finish(result)
    for sentence in results["sentences"]:
        (say if as_json else echo)(sentence)
    finish(begun.folder, results, as_json)
