"""rawconv: the commands under one name.  `rawconv train --epochs 3` is `rawconv-train --epochs 3`."""

from .common import LazyGroup, command


class _Commands(LazyGroup):
    modules = {
        "train": "rawconv.cli.train",
        "visualize": "rawconv.cli.visualize",
        "experiment": "rawconv.cli.experiments",
        "data": "rawconv.cli.data",
        "import": "rawconv.cli.import_",
        "export": "rawconv.cli.export",
        "explore": "rawconv.cli.explore",
        "info": "rawconv.cli.info",
        "doctor": "rawconv.cli.doctor",
    }


@command("rawconv", cls=_Commands)
def main():
    """Train convolutional nets and look inside them with the deconvnet of Zeiler & Fergus 2013.

    Examples:

    \b
    rawconv visualize --layer 4
    rawconv train --data photos/ --epochs 30

    Each command also has a name of its own, such as rawconv-train.  In bash, this line lets the Tab key complete
    commands and options; in zsh, write zsh_source:

    \b
    eval "$(_RAWCONV_COMPLETE=bash_source rawconv)"
    """
