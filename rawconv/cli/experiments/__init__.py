"""rawconv-experiment: one subcommand for each experiment of the paper, one file each."""

import importlib

from ..common import Group, command

NAMES = (  # in the order of the paper
    "evolution", "invariance", "filters", "occlusion", "correspondence",
    "ensemble", "ablation", "transfer", "features", "layers", "controls",
)  # fmt: skip


class _Experiments(Group):
    """Imports a subcommand when it is asked for."""

    def list_commands(self, ctx):
        return NAMES

    def get_command(self, ctx, name):
        return importlib.import_module(f".{name}", __package__).main if name in NAMES else None


@command("rawconv-experiment", cls=_Experiments)
def main():
    """Repeat the experiments of Zeiler & Fergus 2013.

    Each writes a figure, its numbers (JSON and CSV) and the options it ran with, into a folder of its own.  Without
    options it takes the built-in net and pictures.  An interrupted one goes on where it stopped when it is started
    again in the same way.

    \b
    rawconv-experiment occlusion
    rawconv-experiment occlusion --weights runs/mine/last.h5 cat.jpg
    """
