"""The confusion matrix as a picture."""

import numpy as np

from . import charts

NAMED, NUMBERED = 60, 20  # classes up to which they are named, and their shares written


@charts.styled
def draw_confusion(counts, classes, results):
    """PNG bytes: row by row, how the pictures of a class were answered; counts int (K, K), true
    class first.
    """
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.0, min(12.0, 1.5 + 0.34 * len(classes)))
    subtitle = f"{counts.sum()} pictures, {results['views']} view{'s' if results['views'] > 1 else ''} each"
    subtitle += f", top-1 {results['top1']:.1%}"
    subtitle += f", top-5 {results['top5']:.1%}" if len(classes) > 5 else ""  # else never wrong
    figure, axes = charts.sheet(1, 1, "Which class is taken for which", subtitle, (side + 1, side))
    axes = axes[0, 0]
    charts.heat(figure, axes, share, limits=(0, 100), label="% of the pictures of a class")
    axes.set(xlabel="answer", ylabel="true class")
    axes.grid(False)
    if len(classes) <= NAMED:
        places, size = range(len(classes)), 9 if len(classes) <= 30 else 6
        axes.set_xticks(
            places, [charts.short(name) for name in classes], rotation=90, fontsize=size
        )
        axes.set_yticks(places, [charts.short(name) for name in classes], fontsize=size)
    if len(classes) <= NUMBERED:
        for k, j in zip(*np.nonzero(counts), strict=True):
            ink = "black" if share[k, j] > 60 else "white"
            axes.text(j, k, f"{share[k, j]:.0f}", ha="center", va="center", color=ink, fontsize=8)
    return charts.png(figure)
