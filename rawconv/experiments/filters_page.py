"""The figure and the sentences of figure 6, for filters.py: a column for each arm, all of one row on one scale."""

import numpy as np

from ..report import charts
from . import intervals

BANDS = ("low", "middle", "high")
SPECS = {  # {measure: (in words, how its numbers are written)}
    "low": ("low frequencies", ".0%"),
    "middle": ("middle frequencies", ".0%"),
    "high": ("high frequencies", ".0%"),
    "dominance": ("dominance", ".2f"),
    "dead": ("dead filters", ".0%"),
    "dead_maps_2": ("dead maps of layer 2", ".0%"),
    "aliasing": ("the grid in layer 2", ".2f"),
    "top1": ("validation top-1", ".0%"),
}
GRID_SPEC = {
    "aliasing"
}  # compared between nets of one stride alone: the grids of two are other frequencies


# ---------------------------------------------------------------------------------------------- in words


def sentences(arms, differences):
    """What each arm is, what its nets were before training, and how arms differ."""
    return [*map(_arm_sentence, arms), *map(_difference, differences)]


def words(interval, spec):
    """An interval as text; of a single training its number alone, "unknown" where there is none."""
    if not np.isfinite(interval["mean"]):
        return "unknown"
    return intervals.text(interval, spec) if "low" in interval else format(interval["mean"], spec)


def _arm_sentence(arm):
    count, (net, _) = len(arm.trained), arm.trained[0]
    bands = ", ".join(f"{name} {words(arm.interval(name), '.0%')}" for name in BANDS)
    before = ", ".join(f"{name} {words(arm.interval(name, True), '.0%')}" for name in BANDS)
    grid = (
        f"layer 2 has {words(arm.interval('aliasing'), '.2f')} times the energy at multiples of 1/{net['period']} "
        f"per pixel that is beside them, untrained {words(arm.interval('aliasing', True), '.2f')}"
        if net["period"] > 1
        else "and no stride that could leave a grid"
    )
    right = f"; right on {words(arm.interval('top1'), '.0%')}" if net["top1"] is not None else ""
    return (
        f"{arm.label}, {count} training{'s' * (count > 1)}: {words(arm.interval('dead'), '.0%')} of "
        f"{net['filters']} filters dead, largest RMS {words(arm.interval('largest_rms'), '.2g')} "
        f"({words(arm.interval('dominance'), '.1f')} times the median), frequencies {bands} (untrained {before}), "
        f"{grid}{right}."
    )


def _difference(pair):
    """What can be told of two arms, and what cannot."""
    start = f"{pair['of']} against {pair['against']}: "
    if "low" not in pair["low"]:
        return start + "one training each shows no order; name more, which differ in their seeds."
    parts = _told(pair)
    mixed = [name for name in pair["in"] if name not in ("net", "renormalisation")]
    if mixed and len(pair["in"]) > 1:
        parts[-1] += f". The trainings also differ in {', '.join(mixed)}, which may be the reason"
    return start + "; ".join(parts) + "."


def _told(pair):
    """[what is more or less, with its interval; the rest in one, of which no order can be told]."""
    told, rest = [], []
    for measure, (name, spec) in SPECS.items():
        if not np.isfinite(pair[measure]["mean"]) or (measure in GRID_SPEC and "net" in pair["in"]):
            continue
        sign = told_sign(pair[measure])
        if sign:
            word = "more" if sign > 0 else "less"
            told.append(f"{word} in {name} ({words(pair[measure], '+' + spec)})")
        else:
            rest.append(name)
    return told + ([f"no order can be told in {', '.join(rest)}"] if rest else [])


def told_sign(difference):
    """1 or -1 where the interval of a difference lies above or below 0, else 0."""
    if "low" not in difference:
        return 0
    return int(difference["low"] > 0) - int(difference["high"] < 0)


# ---------------------------------------------------------------------------------------------- the figure


@charts.styled
def draw(arms):
    """The figure, a PNG."""
    wide, low = 4.3, 1.9  # inches of a panel
    first = [arm.trained[0][1] for arm in arms]
    shapes = [
        [getattr(values, kind).shape for values in first] for kind in ("filters", "projections")
    ]
    tall = [max(shape[0] / shape[1] for shape in row) * 0.85 * wide + 0.5 for row in shapes]
    heights = [*tall, low, low, low, low]
    figure, axes = charts.sheet(
        6, len(arms), "Figure 6: first-layer filters, and what they do to layer 2",
        "Filters and projections are of each arm's first training. The charts of one row have one scale.",
        panel=(wide, sum(heights) / 6), height_ratios=heights,
    )  # fmt: skip
    for column, (arm, (numbers, values)) in enumerate(
        zip(arms, (arm.trained[0] for arm in arms), strict=True)
    ):
        epochs = f"after {numbers['epochs']} epochs: " if numbers["epochs"] else ""
        title = f"{arm.label}\n{epochs}all filters, each scaled by itself"
        charts.show(axes[0, column], values.filters, title)
        charts.show(
            axes[1, column], values.projections, "layer 2: strongest units, each scaled by itself"
        )
        _sizes(axes[2, column], arm)
        _each(axes[3, column], values)
        _bands(axes[4, column], arm)
        _spectra(axes[5, column], arm)
    for row in (2, 5):
        _one_scale(axes[row])
    return charts.png(figure)


def _one_scale(axes):
    """Give all axes of a row the limits that hold what is in any of them."""
    limits = np.array([panel.get_ylim() for panel in axes])
    for panel in axes:
        panel.set_ylim(limits[:, 0].min(), limits[:, 1].max())


def _sizes(axes, arm):
    """RMS of all filters by rank: a curve for each training, and grey of the nets before."""
    for k, (numbers, values) in enumerate(arm.trained):
        order = np.argsort(-values.rms)
        dead = np.flatnonzero(np.isin(order, numbers["dead"]))
        axes.plot(values.rms[order], color=charts.BLUE, lw=1.2, label="_" * bool(k) + "trained")
        if len(dead):
            label = "_" * bool(k) + "dead"
            axes.plot(dead, values.rms[order][dead], "x", color=charts.RED, label=label)
    for k, (_, values) in enumerate(arm.first):
        axes.plot(
            np.sort(values.rms)[::-1], color=charts.GREY, lw=1, label="_" * bool(k) + "untrained"
        )
    bound = arm.setup["renormalisation"]
    inside = bound and bound < 3 * max(values.rms.max() for _, values in arm.trained)
    if inside:
        axes.axhline(bound, color=charts.ORANGE, lw=1, ls="--", label="largest that is allowed")
    dominance = words(arm.interval("dominance"), ".2f")
    axes.set(title=f"RMS by rank: largest / median {dominance}", xlabel="filter", yscale="log")
    axes.legend(fontsize=7.5, loc="center")


def _each(axes, values):
    """The bands of each filter of one training, stacked."""
    order, left = np.argsort(-values.bands[:, 0]), 0
    for k, (name, colour) in enumerate(
        zip(BANDS, (charts.BLUE, charts.GREEN, charts.ORANGE), strict=True)
    ):
        part = values.bands[order, k]
        axes.bar(range(len(order)), part, 1, left, color=colour, label=name)
        left = left + part
    title = "frequencies of each filter, first training"
    axes.set(title=title, xlabel="filter", ylim=(0, 1.3), yticks=(0, 0.5, 1))
    axes.legend(ncols=3, loc="upper center", fontsize=8)


def _bands(axes, arm):
    """The mean share of each band with its interval, a point for each training, and grey before."""
    x = np.arange(len(BANDS))
    for first, colour, shift in ((False, charts.BLUE, -0.2), (True, charts.GREY, 0.2)):
        shares = [arm.interval(name, first) for name in BANDS]
        mean = [share["mean"] for share in shares]
        axes.bar(x + shift, mean, 0.36, color=colour, label="untrained" if first else "trained")
        if "low" in shares[0]:
            ends = [
                [abs(share["mean"] - share[end]) for share in shares] for end in ("low", "high")
            ]
            axes.errorbar(
                x + shift, mean, ends, fmt="none", ecolor="#222222", elinewidth=1, capsize=3
            )
    for k, name in enumerate(BANDS):
        values = arm.values(name)
        axes.plot(np.full(len(values), k - 0.2), values, "o", ms=3, color="white", mec="#222222")
    title = f"mean share of energy, {len(arm.trained)} training" + "s" * (len(arm.trained) > 1)
    axes.set(title=title, ylim=(0, 1), xticks=x, xticklabels=BANDS)
    axes.legend(fontsize=7.5)


def _spectra(axes, arm):
    """The spectrum of layer 2's projections: a curve for each training, and grey before."""
    period = arm.trained[0][0]["period"]
    for nets, colour in ((arm.first, charts.GREY), (arm.trained, charts.BLUE)):
        for _, values in nets:
            x = np.arange(len(values.spectrum)) / arm.trained[0][0]["size"]
            axes.plot(x[1:], values.spectrum[1:], color=colour, lw=1.2)
    for k in range(1, period // 2 + 1):
        axes.axvline(k / period, color=charts.RED, lw=1, ls=":")
    grid = (
        f"{words(arm.interval('aliasing'), '.2f')} times at k/{period}"
        if period > 1
        else "no stride, no grid"
    )
    axes.set(
        title=f"layer 2's spectrum: {grid}", xlabel="cycles per pixel", yscale="log", xlim=(0, 0.51)
    )
