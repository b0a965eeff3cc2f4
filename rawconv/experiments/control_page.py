"""The figure of `controls`: rows of units, columns of variants, and below them what was measured."""

from ..report.look import LOOK
from ..report.strips import Strip, draw
from . import intervals


def page(which, numbers, ways, labels, drawn, sentences):
    """A Pillow picture.

    which: which layer of which net, and data.  numbers: for the JSON file.  ways: [Variant].
    labels: of the rows.  drawn: for each row {"patch", "tiles" of every variant}.
    sentences: what it shows.
    """
    deconv, others = _bands(ways)
    strips = [
        Strip(
            title,
            ["patch", *(way.head for way in band)],
            labels,
            [[row["patch"], *(row["tiles"][ways.index(way)] for way in band)] for row in drawn],
            feet=_feet(numbers["variants"], band),
        )
        for title, band in (("The deconvnet", deconv), ("Other rules and ways", others))
    ]
    legend = (
        "Each row: the strongest unit of one map over the validation pictures, cut to its receptive field. Grey is 0, "
        f"full contrast the {LOOK.percentile:g}th percentile of |value| of each projection by itself. Below: "
        "correlation with the patch, and cosine to the projection through the trained net by the same rule (of whole "
        "map, max, overwrite, gradient and guided to the deconvnet's): means over all units, 95 % intervals by "
        f"bootstrap over pictures and {numbers['nets']} nets. {sentences[2]}"
    )
    title = "What the pictures owe to weights, switches and rules"
    return draw(strips, title, f"{which}. {sentences[0]}", legend, side=104)


def _bands(ways):
    """Two rows of columns: the deconvnet and its controls; whole map, shared switches, and the other rules."""
    middle = next(k for k, way in enumerate(ways) if way.name == "whole-map")
    kept = [
        way for way in ways[middle:] if "cascade" not in way.name and "mismatched" not in way.name
    ]
    return ways[:middle], kept


def _feet(summary, band):
    def means(kind):
        return [_short(summary[way.name][kind]["mean"]) for way in band]

    def ends(kind):
        of_ways = [summary[way.name][kind] for way in band]
        return [
            f"{_short(interval['low'])} to {_short(interval['high'])}"
            if intervals.is_known(interval)
            else "one picture"
            for interval in of_ways
        ]

    return [
        ("correlation", ["1.00", *means("correlation")]),
        ("95 %", ["", *ends("correlation")]),
        ("cosine", ["", *means("cosine")]),
        ("95 %", ["", *ends("cosine")]),
    ]


def _short(value):
    """Two decimals, and no sign before 0."""
    return f"{value:.2f}".replace("-0.00", "0.00")
