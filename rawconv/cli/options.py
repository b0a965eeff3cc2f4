"""The options that several commands share, as decorators."""

import click


def options_given():
    """Return {option: value} of the options on the command line of the running command, without defaults."""
    context = click.get_current_context()
    chosen = [parameter for parameter in context.command.params if parameter.name in context.params]
    return {
        max(parameter.opts, key=len).lstrip("-"): context.params[parameter.name]
        for parameter in chosen
        if context.get_parameter_source(parameter.name) != click.core.ParameterSource.DEFAULT
    }


device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|gpu|gpu:N",
    help="Device to compute on; auto takes a GPU if there is one.",
)
tf32_option = click.option(
    "--tf32",
    is_flag=True,
    help="Multiply in TF32 on an NVIDIA GPU, with errors near 4e-4 instead of 6e-7.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seed of all random numbers; the same seed gives the same result.",
)
workspace_option = click.option(
    "--workspace", type=click.IntRange(1), default=256, show_default=True, metavar="MB",
    help="Memory for the columns of a convolution on a GPU, and for the feature maps of images that are looked into.",
)  # fmt: skip
force_option = click.option("--force", is_flag=True, help="Overwrite existing files.")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object with every result and path."
)
weights_option = click.option(
    "--weights",
    metavar="FILE",
    help="Checkpoint of the net.  [default: the newest in runs/, else the shipped one]",
)
data_option = click.option(
    "--data",
    metavar="DATA",
    help="Data set: a folder, .zip or packed file of pictures, or a built-in one.  [what the net learned from]",
)


range_option = click.option(
    "--range",
    "value_range",
    metavar="LOW:HIGH",
    help="Values that are black and white in pictures with more than 8 bits.  [0:65535]",
)


def list_options(function):
    """Add the options --train, --val, --labels, --synsets and --range."""
    for option in (
        range_option,
        click.option(
            "--synsets",
            metavar="FILE",
            help="List of the classes that numbers in --labels stand for, one a line, or meta.mat.  [one beside it]",
        ),
        click.option(
            "--labels",
            metavar="FILE",
            help="List of pictures and their classes, such as labels.csv.  [none]",
        ),
        click.option(
            "--val",
            metavar="FOLDER",
            help="Folder of the validation pictures.  [recognised by its name, else a tenth of each class]",
        ),
        click.option(
            "--train",
            metavar="FOLDER",
            help="Folder of the training pictures; the folders in it are the classes.  [recognised by its name]",
        ),
    ):
        function = option(function)
    return function


out_option = click.option(
    "--out", metavar="PATH", help="Folder to write to.  [default: a new one in runs/]"
)


def where_options(function):
    """Add the options of commands that look at pictures and write a folder: --data, --out, --device, ..."""
    return data_option(result_options(function))


def result_options(function):
    """Add those of where_options that a command has which takes no data set: --out, --device, ..."""
    for option in (
        json_option,
        force_option,
        workspace_option,
        tf32_option,
        device_option,
        out_option,
    ):
        function = option(function)
    return function
