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
from .line_ends import apart

BLUE, ORANGE, GREEN, RED, GREY = "#4678be", "#d75f32", "#4a9a5b", "#b03a48", "#8a8a92"
# any two, and GREY, can be told apart with deuteranopia and protanopia, too
CYCLE = (BLUE, ORANGE, GREEN, "#5a001e", "#460d9f", "#428ead", "#8d3583", "#832609")
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


def name_ends(axes, size=7.5):
    """Write what each labelled line is beside its last point, in its colour; names beside each other
    keep apart.

    Instead of a legend, when all is drawn and the limits are set.  size: of the letters, in points.
    """
    from matplotlib.patheffects import withStroke

    figure = axes.get_figure()
    figure.draw_without_rendering()  # only then is it known how high the axes are
    scale = figure.dpi / 72  # pixels of a point
    (left, low), (right, high) = axes.get_window_extent().get_points()
    ends = {}
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
        line = handle if hasattr(handle, "get_xydata") else handle[0]  # of a curve with error bars
        points = line.get_transform().transform(line.get_xydata())
        x, y = points[np.isfinite(points).all(axis=1)][-1]
        x = right if right - x < 0.08 * (right - left) else x
        ends.setdefault(round(x), []).append((y, x, label, line.get_color()))
    for found in ends.values():
        found.sort(key=lambda end: end[0])
        places = apart([y for y, *_ in found], 1.25 * size * scale, low, high)
        for place, (y, x, label, color) in zip(places, found, strict=True):
            axes.annotate(
                label, axes.transData.inverted().transform((x, y)), (6, (place - y) / scale),
                textcoords="offset points", va="center", fontsize=size, color=darker(color),
                annotation_clip=False, path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )  # fmt: skip


def darker(color):
    """The colour of a line as letters can be read in it."""
    from matplotlib.colors import to_rgb

    return tuple(0.75 * part for part in to_rgb(color))


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
