"""The figure of `occlusion`: the maps of each picture, and what its projections are worth as evidence."""

import numpy as np

from ..data.preprocessing import center_crop
from ..report import charts
from ..report.strips import mosaic
from ..visualize.images import display
from . import intervals

CLASSES = len(charts.CYCLE) - 1  # that have a colour of their own


@charts.styled
def draw(net, pictures, results, places, filled, numbers):
    """PNG bytes: a row for each of subject.Shown `pictures`, and below them what evidence.py measured.

    results: of each picture {"activity", "true", "best", "whole", "down", ...}.  places: Places.
    filled: the fill as a stored picture.  numbers: for the JSON file.
    """
    size, summaries, user_layer = places.side, numbers["pictures"], numbers["layer"]
    figure, axes = charts.sheet(
        len(summaries) + 1, 5, f"Figure 7: a square of {size}x{size} pixels slid over the picture",
        f"{len(places.boxes)} places of its middle, {net.model or 'the net'}; activity as a share of that without it; "
        "framed: this picture's own projection. The paper shows three pictures and gives no numbers.",
        panel=(2.65, 2.25),
    )  # fmt: skip
    height, width = net.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    shares = [places.grid(measured["activity"]) / measured["whole"] for measured in results]
    most = max(1.0, *(float(share.max()) for share in shares))
    for row, shown, measured, summary, share in zip(
        axes, pictures, results, summaries, shares, strict=False
    ):
        image = covered_image(net, shown.image, filled, places.boxes[measured["true"].argmin()])
        charts.show(
            row[0],
            image,
            _title(summary),
        )
        charts.heat(figure, row[1], share, f"activity of map {summary['map']}", (0, most), extent)
        charts.show(
            row[2],
            _four(measured["down"]),
            f"its projections, {user_layer},\neach in its own scale",
        )
        p = places.grid(measured["true"])
        charts.heat(figure, row[3], p, f"P({charts.short(summary['class'])})", (0, 1), extent)
        _classes(row[4], places.grid(measured["best"]), net.classes, shown.label, extent)
    _evidence(axes[-1], numbers["measured"])
    return charts.png(figure)


def _title(summary):
    """The class with its probability, whole and where the square harms it most; what a wrong one is taken for."""
    taken = summary["taken_for"]
    wrong = f"\ntaken for {charts.short(taken)}" if taken != summary["class"] else ""
    name = charts.short(summary["class"])
    return f"{name}: {summary['p']:.0%} → {summary['lowest_p']['p']:.0%}{wrong}"


def _evidence(axes, measured):
    """Correlations beside their nulls, both curves, and their areas; all with intervals."""
    correlations, areas, deletion, insertion, legend = axes
    _intervals(correlations, {"": measured["covered"]}, "fall and energy correlate")
    ways = {
        way: {name: order["area"] for name, order in measured[way].items()}
        for way in ("deletion", "insertion")
    }
    _intervals(areas, ways, "area under the curve")
    every = np.nan_to_num([order["curve"] for way in ways for order in measured[way].values()])
    limits = 1.05 * min(0, every.min()), 1.05 * max(1, every.max())
    for panel, way in ((deletion, "deletion"), (insertion, "insertion")):
        for name, colour in zip(measured[way], charts.CYCLE, strict=False):
            curve = measured[way][name]["curve"]
            x = np.linspace(0, 100, len(curve))
            panel.plot(x, curve, color=colour, label=name, lw=1.2)
        panel.set(title=f"{way}: activation", xlabel="% of the field", ylim=limits)
    legend.axis("off")
    legend.legend(
        *deletion.get_legend_handles_labels(), loc="upper left", title="order of", fontsize=8
    )


def _intervals(axes, groups, title):
    """Means as points with their 95 % intervals, names down the left; the groups in different colours."""
    for (label, group), colour in zip(groups.items(), charts.CYCLE, strict=False):
        for row, interval in enumerate(group.values()):
            axes.plot([interval["low"], interval["high"]], [row, row], color=colour)
            axes.plot(
                interval["mean"], row, "o", color=colour, ms=4, label=label if not row else None
            )
    names = list(next(iter(groups.values())))
    drawn = [interval for group in groups.values() for interval in group.values()]
    if not any(map(intervals.is_known, drawn)):
        title += "\n(one picture, so no interval)"
    axes.set(title=title, yticks=range(len(names)), yticklabels=names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(_limits(drawn))
    axes.axvline(0, color=charts.GREY, lw=0.8)
    if len(groups) > 1:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, fontsize=8)


def _limits(drawn):
    """From 0 to 1, or as far as the intervals go."""
    numbers = np.nan_to_num([[part["mean"], part["low"], part["high"]] for part in drawn])
    most = numbers.max()
    return min(0, numbers.min()) - 0.03, 1 if most <= 1 else most + 0.03


def covered_image(net, image, filled, box):
    """What the net sees of a stored picture, with a box of another one in it."""
    image, fill = center_crop(net, np.stack([image, filled]))
    top, left, bottom, right = box
    image[top:bottom, left:right] = fill[top:bottom, left:right]
    return image


def _four(down):
    """Projections, this picture's first, in a black frame, two in a row."""
    tiles = np.pad(display(down, 99.5), ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=255)
    tiles[0, :2], tiles[0, -2:], tiles[0, :, :2], tiles[0, :, -2:] = 0, 0, 0, 0
    return mosaic(tiles, 2)


def _classes(axes, best, names, label, extent):
    """The map of the most probable class: the true one blue, others by how often they are; what is
    rare is grey.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    numbers, counts = np.unique(best[best != label], return_counts=True)
    order = [label, *numbers[np.argsort(-counts, kind="stable")].tolist()]
    colour_of = dict(zip(order[:CLASSES], charts.CYCLE, strict=False))
    pixels = np.array([[to_rgb(colour_of.get(int(k), charts.GREY)) for k in row] for row in best])
    axes.imshow(pixels, extent=extent, interpolation="nearest")
    axes.set(title="most probable class", xticks=[], yticks=[])
    axes.grid(False)
    entries = [
        Patch(color=colour, label=names[k].replace("_", " ")[:18])
        for k, colour in colour_of.items()
    ]
    entries += [Patch(color=charts.GREY, label="others")] if len(order) > CLASSES else []
    axes.legend(
        handles=entries, loc="upper left", bbox_to_anchor=(1.0, 1.02), handlelength=1, fontsize=8
    )
