"""Labels in any script are drawn with a font that has them; where there is none, one line says so."""

import io
import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from PIL import Image, ImageDraw

from rawconv.report import charts, figures, fonts, gallery, strips
from rawconv.report.confusion import draw_confusion

CAT, DOG = "\u732b", "\u72ac"  # in Chinese: neither Pillow's nor Matplotlib's font has them
WHITE = np.full((9, 9, 3), 255, np.uint8)


def square(width, height):
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, height), (width, height), (width, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


def write_font(path, characters):
    """A font with these characters alone: each is a filled square as high as a line, what is
    missing a flat bar.
    """
    names = {ord(c): f"c{k}" for k, c in enumerate(characters)}
    glyphs = {".notdef": square(1000, 50)} | {name: square(1000, 800) for name in names.values()}
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap(names)
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(path)
    return str(path)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with the fonts that are asked for, and no memory of those before."""

    def with_fonts(*characters):
        paths = [write_font(tmp_path / f"Font{k}.ttf", some) for k, some in enumerate(characters)]
        monkeypatch.setattr(fonts, "installed", lambda: paths)
        return paths

    monkeypatch.setattr(fonts, "_used", [])
    monkeypatch.setattr(fonts, "_nowhere", set())
    fonts._search.cache_clear()
    yield with_fonts
    fonts._search.cache_clear()


def solid(page, side):
    """Whether somewhere in the picture a square of so many pixels has one dark colour: no letter
    and no box has.
    """
    dark = np.asarray(page.convert("L")) < 110
    sums = np.pad(dark.astype(int).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return (
        sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
        == side**2
    ).any()


DRAWN = {
    "title": lambda label: figures.grid(
        [figures.Block("", "", [figures.Tile(WHITE)])], 1, label, "", ""
    ),
    "subtitle": lambda label: figures.grid(
        [figures.Block("", "", [figures.Tile(WHITE)])], 1, "", label, ""
    ),
    "legend": lambda label: figures.grid(
        [figures.Block("", "", [figures.Tile(WHITE)])], 1, "", "", f"a {label}"
    ),
    "block": lambda label: figures.grid(
        [figures.Block(label, "", [figures.Tile(WHITE)])], 1, "", "", ""
    ),
    "note": lambda label: figures.grid(
        [figures.Block("", label, [figures.Tile(WHITE)])], 1, "", "", ""
    ),
    "overview": lambda label: figures.overview(
        [figures.Block(label, "", [figures.Tile(WHITE)])], "", "", ""
    ),
    "gallery": lambda label: gallery.gallery([gallery.Tile(WHITE, label)], "", "", ""),
    "strip's head": lambda label: strips.draw(
        [strips.Strip("", [label], [], [[WHITE]])], "", "", ""
    ),
    "strip's label": lambda label: strips.draw(
        [strips.Strip("", [], [label], [[WHITE]])], "", "", ""
    ),
    "strip's foot": lambda label: strips.draw(
        [strips.Strip("", [], [], [[WHITE]], feet=[("", [label])])], "", "", ""
    ),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=list(DRAWN))
def test_a_figure_takes_an_installed_font_that_has_the_label(machine, draw, capsys):
    machine("abc", CAT + DOG)
    assert solid(draw(CAT), 8) and not solid(draw("cat"), 8)
    assert capsys.readouterr().err == ""


def confusion(names):
    page = draw_confusion(np.zeros((2, 2), int), names, {"views": 1, "top1": 0.5, "top5": 1.0})
    image = Image.open(io.BytesIO(page)).convert("RGB")
    # left of the map, which is dark
    return image.crop((0, 80, int(0.22 * image.width), image.height))


def test_a_chart_takes_an_installed_font_that_has_the_label(machine, capsys):
    machine("abc", CAT + DOG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert solid(confusion([CAT, "dog"]), 10) and not solid(confusion(["cat", "dog"]), 10)
    assert capsys.readouterr().err == ""


def test_a_word_in_two_scripts_takes_the_font_with_the_most_of_it(machine):
    _, most, _ = machine(CAT, CAT + DOG, DOG)
    assert (
        fonts.covering(frozenset(CAT + DOG))
        == most
        == fonts.covering(frozenset(CAT + DOG + "\u9b5a"))
    )
    assert [(font.path, part) for font, part in fonts.runs(CAT + DOG, 20)] == [(most, CAT + DOG)]


def test_where_no_font_has_all_of_a_label_each_part_has_its_own(machine):
    cat, dog = machine(CAT, DOG)
    runs = fonts.runs(f"a {CAT}{CAT}, {DOG}.", 20)
    assert [part for _, part in runs] == ["a ", CAT + CAT, ", ", DOG, "."]
    assert [getattr(font, "path", None) for font, _ in runs[1::2]] == [cat, dog]
    page = Image.new("RGB", (300, 90), "white")
    for at, anchor in (((20, 30), "ls"), ((150, 60), "mm"), ((280, 80), "rs")):
        fonts.write(ImageDraw.Draw(page), at, f"{CAT}i{DOG}", (0, 0, 0), 20, anchor)
    dark = np.asarray(page.convert("L")) < 110
    width = 20 + 20 + fonts.length("i", 20)
    assert fonts.length(f"{CAT}i{DOG}", 20) == pytest.approx(width)
    assert dark[14:30, 20:40].all() and not dark[:34, :20].any(), "at the left, on the line"
    left, right = round(150 - width / 2), round(150 + width / 2)
    line = ImageDraw.Draw(page).textbbox((150, 60), "i", fonts.runs("i", 20)[0][0], "mm")[3]
    for first in (left + 1, right - 19):
        assert (
            dark[line - 15 : line - 1, first : first + 18].all()
            and not dark[line + 1 :, first : first + 18].any()
        )
    assert dark[65:80, 261:279].all() and not dark[:, 281:].any(), "up to the right"


def test_what_no_font_has_is_said_once(machine, capsys):
    """Once in all, by figures and charts together, and never as a warning with a source line."""
    machine("abc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for draw in DRAWN.values():
            draw(CAT)
        confusion([DOG, CAT])
    told = capsys.readouterr().err.splitlines()
    assert told == [
        f"No font on this machine has the characters {CAT}, so figures show boxes in their place; install one that has "
        "them, such as Noto Sans (packages fonts-noto and fonts-noto-cjk)."
    ]


@pytest.mark.parametrize(
    "label", ["\u00e9t\u00e9", "Stra\u00dfe", "\u043a\u043e\u0442", "\u03b3\u03ac\u03c4\u03b1"]
)
def test_accents_greek_and_cyrillic_need_no_installed_font(machine, label, capsys):
    """Pillow's own font has none of them; Matplotlib's, which is always there, has."""
    machine()
    (run,), (plain,) = fonts.runs(label, 13), fonts.runs("ete 123, ...", 13)
    assert run[0].path.endswith("DejaVuSans.ttf") and plain[0].getname()[0] != "DejaVu Sans"
    assert capsys.readouterr().err == ""


def test_a_broken_font_file_is_passed_by(machine, tmp_path, monkeypatch):
    paths = machine(CAT)
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    monkeypatch.setattr(fonts, "installed", lambda: [str(tmp_path / "broken.ttf"), *paths])
    assert fonts.covering(frozenset(CAT)) == paths[0]


def test_a_dollar_in_a_name_is_a_dollar():
    """Matplotlib takes what stands between two for mathematics, and fails where it is none."""
    figure, axes = charts.sheet(1, 1, "a $_^ b $", "")
    axes[0, 0].set_yscale("log")
    assert charts.png(figure)


def test_plain_fonts_are_tried_first(monkeypatch):
    names = ["/a/Sans-Bold.ttf", "/b/SansMono-BoldOblique.ttf", "/c/Sans.ttf", "/d/Sans-Italic.ttf"]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: names)
    assert fonts.installed.__wrapped__() == [names[2], names[0], names[3], names[1]]
