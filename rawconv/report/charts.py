"""Charts in one style: curves, bars, heat maps and images beside each other, as PNG bytes.

    @styled
    def draw(x, y):
        figure, axes = sheet(2, 3, "Figure 5: ...", "what it shows, in a line")
        axes[0, 0].plot(x, y)
        return png(figure)

Equal numbers give equal bytes.  The axes are Matplotlib's.
"""

import functools
import io
import warnings

import numpy as np

from ..files.messages import shown
from ..visualize.images import display
from .fonts import give_fonts

BLUE, ORANGE, GREEN, RED, GREY = "#4678be", "#d75f32", "#4a9a5b", "#b03a48", "#8a8a92"
CYCLE = (BLUE, ORANGE, GREEN, RED, "#7d5ba6", "#b08a2e", "#3f9fa8", "#c76fa0")
HEAT = "viridis"  # blue is low, as in the paper
STYLE = {
    "font.size": 9, "axes.titlesize": 10, "axes.grid": True, "grid.color": "#e4e4ea", "axes.axisbelow": True,
    "axes.edgecolor": "#9a9aa2", "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "figure.facecolor": "white", "lines.linewidth": 1.6, "svg.hashsalt": "rawconv",
}  # fmt: skip
DPI = 120


def styled(draw):
    """The function `draw` in this style, which Matplotlib looks up as each line, title and legend is made.

    A user's own matplotlibrc changes nothing.
    """

    @functools.wraps(draw)
    def drawn(*args, **kwargs):
        import matplotlib as mpl

        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE | {"axes.prop_cycle": mpl.cycler(color=CYCLE)})
            return draw(*args, **kwargs)

    return drawn


def sheet(rows, columns, title, subtitle="", panel=(3.2, 2.6), **options):
    """(figure, axes (rows, columns)) under a title and a line of explanation; panel: inches of one
    of the axes.
    """
    from matplotlib.figure import Figure

    height = rows * panel[1] + 0.9
    figure = Figure((max(columns * panel[0], 6), height), DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.62 / height), w_pad=0.08, h_pad=0.08)
    figure.text(0.01, 1 - 0.14 / height, title, size=13, weight="bold", va="top")
    figure.text(0.01, 1 - 0.40 / height, subtitle, size=9, color="#55555e", va="top")
    return figure, axes


def short(name):
    """The name of a class beside an axis."""
    return shown(name, 18)


def show(axes, image, title=""):
    """A picture on its axes: uint8 (H, W, 3) as it is, signed floats by images.display."""
    image = image if image.dtype == np.uint8 else display(image)
    axes.imshow(image, interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])
    axes.grid(False)


def heat(figure, axes, values, title="", limits=(None, None), extent=None, label=""):
    """A map of heat (rows, columns) with its scale; extent: (left, right, bottom, top) in pixels of
    the picture.
    """
    image = axes.imshow(
        values, cmap=HEAT, vmin=limits[0], vmax=limits[1], extent=extent, interpolation="nearest"
    )
    axes.set(title=title, xticks=[], yticks=[])
    axes.grid(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.85, label=label)
    bar.formatter.set_useOffset(False)
    bar.update_ticks()


def png(figure):
    """The figure as a PNG, without the time and the program that made it."""
    out = io.BytesIO()
    give_fonts(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # which give_fonts has said
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
