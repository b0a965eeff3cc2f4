"""rawconv-experiment: one subcommand for each experiment of the paper, one file each."""

from ..common import LazyGroup, command

NAMES = (  # in the order of the paper
    "evolution", "invariance", "filters", "occlusion", "correspondence",
    "ensemble", "ablation", "transfer", "features", "layers", "controls",
)  # fmt: skip


class _Experiments(LazyGroup):
    modules = {name: f"{__name__}.{name}" for name in NAMES}


@command("rawconv-experiment", cls=_Experiments)
def main():
    """Repeat the experiments of Zeiler & Fergus 2013.

    Each writes a figure, its numbers (JSON and CSV) and the options it ran with, into a folder of its own.  Without
    options it takes the shipped net, or trains the small ones that it compares.  An interrupted experiment goes on
    where it stopped if you start it again in the same way.

    Examples:

    \b
    rawconv-experiment occlusion
    rawconv-experiment occlusion --weights runs/mine/last.h5 cat.jpg
    """
