"""The figure of `invariance`: a row for each family of transformations, and how straight its curves are."""

import numpy as np

from ..data.preprocessing import center_crop
from ..report import charts
from ..report.strips import mosaic
from . import intervals
from .linearity import DISTANCES

EXAMPLES = 5  # pictures whose transformed versions are drawn


@charts.styled
def draw(labels, families, curves, numbers, distance, examples):
    """PNG bytes.

    labels: of the pictures that have a curve each, the first ones.  families: {name: invariance.Kind}.
    curves: {name: of each picture that was measured}.  numbers: for the JSON file.
    distance: the one drawn.  examples: {name: one picture of transformed pictures}.
    """
    layers, count = numbers["layers"], len(numbers["pictures"])
    figure, axes = charts.sheet(
        3, 4, "Figure 5: what moving, enlarging and turning a picture does",
        f"Distance of the features ({distance}) and probability of the true class, a curve for each picture; dashed: "
        f"nets before training. R² of a line through 0, distance against size: mean, 95 % interval over {count} "
        f"picture{'s' * (count > 1)}.",
        panel=(3.3, 2.6),
    )  # fmt: skip
    for row, (name, kind) in zip(axes, families.items(), strict=True):
        drawn = ", ".join(f"{value:.3g}" for value in kind.drawn)
        charts.show(row[0], examples[name], f"{drawn} {kind.label}")
        _name_rows(row[0], labels[:EXAMPLES])
        for k, (panel, layer) in enumerate(zip(row[1:3], layers, strict=True)):
            for label, curve in zip(labels, curves[name], strict=False):
                panel.plot(kind.values, curve[distance][:, k], label=label)
            before = np.mean([curve["untrained"] for curve in curves[name]], axis=(0, 1))
            panel.plot(
                kind.values, before[DISTANCES.index(distance), :, k], "--", color=charts.GREY,
                label="untrained, mean",
            )  # fmt: skip
            panel.set(xlabel=kind.label, ylim=(0, None))
            panel.set_title(
                _title(numbers[name]["linearity"], layer, distance, kind.axes[k]), fontsize=8.5
            )
        for label, curve in zip(labels, curves[name], strict=False):
            row[3].plot(kind.values, curve["p"], label=label)
        row[3].set(title="P(true class)", xlabel=kind.label, ylim=(-0.02, 1.02))
    figure.legend(handles=axes[0, 1].lines, loc="outside lower center", ncols=8)
    return charts.png(figure)


def _name_rows(axes, labels):
    """Write beside each row of examples what it shows, in the colour of its curves."""
    top, bottom = axes.get_ylim()[::-1]
    height = (bottom - top) / len(labels)
    axes.set_yticks(
        [top + (k + 0.5) * height for k in range(len(labels))], map(charts.short, labels)
    )
    axes.tick_params(axis="y", length=0)
    for text, color in zip(axes.get_yticklabels(), charts.CYCLE, strict=False):
        text.set(color=charts.darker(color), weight="bold")


def _title(straight, layer, distance, end):
    """The layer, where the paper's axis ends, and R squared of this net and of untrained ones."""
    learned, before = (
        intervals.text(straight[net][layer][distance], ".2f") for net in ("learned", "untrained")
    )
    told = f"R² {learned.partition(' (one')[0]}, untrained {before.partition(' (')[0]}"
    return f"{layer} (paper's axis to {end:g})\n{told}"


def examples(net, pictures, moved):
    """A row for each of the first pictures: those that `moved` makes of each stored one."""
    new = [tile for shown in pictures[:EXAMPLES] for tile in moved(shown)]
    return mosaic(center_crop(net, np.stack(new)), len(new) // min(EXAMPLES, len(pictures)), 2)
