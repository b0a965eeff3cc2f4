"""Lines in charts: named at their ends, and in colours that can be told apart by who sees fewer of them."""

import itertools
import pathlib
import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from rawconv.report import charts
from rawconv.report.line_ends import apart

# linear RGB as it is seen, Machado, Oliveira & Fernandes 2009, severity 1
SIGHT = {
    "any": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
}  # fmt: skip
XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)  # of linear sRGB, white D65
CSS = pathlib.Path(charts.__file__).parent / "page/base.css"


def linear(color):
    part = np.array(to_rgb(color))
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB of linear RGB."""
    x, y, z = np.cbrt(XYZ @ np.clip(rgb, 1e-3, 1) / XYZ.sum(axis=1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(color, paper="white"):
    light, dark = sorted((XYZ[1] @ linear(one) + 0.05 for one in (color, paper)), reverse=True)
    return light / dark


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_colours_of_lines_differ(sight):
    """13 is some five times what is just noticed side by side; the curves' two differ by far more."""
    seen = {color: lab(SIGHT[sight] @ linear(color)) for color in (*charts.CYCLE, charts.GREY)}
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 13, (one, other)
    assert np.linalg.norm(seen[charts.BLUE] - seen[charts.ORANGE]) > 60
    assert min(contrast(color) for color in charts.CYCLE) >= 3


def test_colours_of_the_page_differ_in_both_themes():
    text = CSS.read_text()
    themes = [dict(zip("ab", pair, strict=True))
              for pair in re.findall(r"--a: (#\w+); --b: (#\w+);", text)]  # fmt: skip
    inks = re.findall(r"--a-ink: (#\w+);\s+--b-ink: (#\w+)", text)
    papers = re.findall(r"--panel: (#\w+)", text)
    assert len(themes) == len(inks) == len(papers) == 2
    for theme, ink, paper in zip(themes, inks, papers, strict=True):
        for sight in SIGHT.values():
            a, b = (lab(sight @ linear(theme[kind])) for kind in "ab")
            assert np.linalg.norm(a - b) > 50
        assert min(contrast(color, paper) for color in ink) >= 4.5
        assert min(contrast(color, paper) for color in theme.values()) >= 3


@pytest.mark.parametrize("wanted", [[10, 20, 30], [10, 10, 10], [0, 1, 99], [98, 99, 100], [50]])
def test_names_are_as_near_as_they_can_be_and_apart(wanted):
    places = apart(wanted, 10, 0, 100)
    assert all(b - a >= 10 for a, b in itertools.pairwise(places))
    assert min(places) >= 0 and max(places) <= 100
    if all(b - a >= 10 for a, b in itertools.pairwise(wanted)):
        assert places == wanted


@charts.styled
def drawn():
    """Axes with curves that end near each other, one with error bars, one further left, and a level."""
    figure, (axes,) = charts.sheet(1, 1, "a title")
    axes = axes[0]
    axes.plot([1, 2, 3], [1, 2, 5.0], label="one")
    axes.plot([1, 2, 3], [3, 2, 5.1], label="two")
    axes.errorbar([1, 2, 3], [1, 1, 4.9], [0.1, 0.1, 0.1], label="three")
    axes.plot([1, 2], [6, 8], label="four")
    axes.plot([1, 2, 3], [0, 0, 0])
    axes.axhline(2, color=charts.GREY, label="chance")
    charts.name_ends(axes)
    figure.draw_without_rendering()
    return axes


def test_each_labelled_line_is_named_at_its_end_in_its_colour():
    axes = drawn()
    colors = dict(zip(("one", "two", "three", "four"), charts.CYCLE, strict=False))
    colors["chance"] = charts.GREY
    assert {text.get_text() for text in axes.texts} == set(colors)
    right = axes.get_window_extent().x1
    ends = {"one": (3, 5), "two": (3, 5.1), "three": (3, 4.9), "four": (2, 8), "chance": (3, 2)}
    for text in axes.texts:
        assert text.get_color() == charts.darker(colors[text.get_text()])
        box = text.get_window_extent()
        x, y = axes.transData.transform(ends[text.get_text()])
        if text.get_text() == "four":
            assert 0 < box.x0 - x < 20, "it ends in the middle of the axes"
        else:
            assert 0 < box.x0 - right < 20
        assert abs((box.y0 + box.y1) / 2 - y) < 3 * (box.y1 - box.y0)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    order = sorted(("one", "two", "three"), key=lambda name: ends[name][1])
    heights = {text.get_text(): text.get_window_extent().y0 for text in axes.texts}
    assert sorted(order, key=heights.get) == order
