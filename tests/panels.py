"""What stands in a chart of the experiments, read back from Matplotlib's own objects: places,
colours, labels.
"""

import sys

import numpy as np
import pytest

from rawconv.report import charts


def check_legends(figure):
    """None is cut off at the figure's edge."""
    figure.draw_without_rendering()
    for legend in filter(None, [axes.get_legend() for axes in figure.axes] + figure.legends):
        box = legend.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width, legend.get_texts()
        assert 0 <= box.y0 < box.y1 <= figure.bbox.height, legend.get_texts()


@pytest.fixture
def figures(monkeypatch):
    """The figures that are made from now on, in their order."""
    found, plain = [], charts.png

    def kept(figure):
        found.append(figure)
        check_legends(figure)
        return b"\x89PNG"

    for name, module in list(sys.modules.items()):
        if (
            name.startswith(("rawconv.experiments.", "rawconv.report."))
            and getattr(module, "png", None) is plain
        ):
            monkeypatch.setattr(module, "png", kept)
    return found


def numbers(values):
    return [round(float(value), 6) for value in np.ravel(values)]


def curves(axes):
    """{label: (colour, style, [x], [y])} of plain curves; those without a label by "_child0",
    "_child1", ...
    """
    from matplotlib.colors import to_hex

    return {
        line.get_label(): (
            to_hex(line.get_color()),
            line.get_linestyle(),
            *map(numbers, line.get_data()),
        )
        for line in axes.lines
    }


def with_errors(axes):
    """{label: (colour, style, [x], [y], [error])} of curves with errors."""
    from matplotlib.colors import to_hex

    found = {}
    for one in axes.containers:
        if hasattr(one, "has_yerr"):
            line, _, (bars,) = one.lines
            half = [(high - low) / 2 for (_, low), (_, high) in bars.get_segments()]
            look = to_hex(line.get_color()), line.get_linestyle()
            found[one.get_label()] = (*look, *map(numbers, line.get_data()), numbers(half))
    return found


def bars(axes, lying=False):
    """{label: (colour, [middle], [length])}; those of stacked bars begin where the last ended: see
    `starts`.
    """
    from matplotlib.colors import to_hex

    found = {}
    for one in axes.containers:
        if hasattr(one, "patches") and len(one.patches):
            boxes = [patch.get_bbox() for patch in one.patches]
            middle = [(b.y0 + b.y1) / 2 if lying else (b.x0 + b.x1) / 2 for b in boxes]
            size = [b.width if lying else b.height for b in boxes]
            found[one.get_label()] = (
                to_hex(one.patches[0].get_facecolor()),
                numbers(middle),
                numbers(size),
            )
    return found


def texts(axes):
    """[(text, x, y)]."""
    return [(text.get_text().strip(), *numbers(text.get_position())) for text in axes.texts]


def ticks(axes):
    """The words beside the lying bars, from above."""
    words = [label.get_text() for label in axes.get_yticklabels()]
    low, high = axes.get_ylim()
    return words if low > high else words[::-1]
