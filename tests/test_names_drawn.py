"""Names as they come, in pictures: not UTF-8, control codes, thousands of characters."""

import io
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw
from test_data_sources import tree, write

from rawconv.cli.data import main as data_command
from rawconv.cli.experiments.occlusion import main as occlusion
from rawconv.cli.train import main as train
from rawconv.cli.visualize import main as visualize
from rawconv.report import charts, figures, fonts, gallery, strips

LONG, EVIL = "x" * 100_000, "a\nb\x1b[31m\udce9\ud800"
TILE = np.zeros((8, 8, 3), np.uint8)


def drawn(monkeypatch):
    """All texts that Pillow is asked to draw, with their place and how wide they are."""
    texts, before = [], ImageDraw.ImageDraw.text

    def text(self, xy, text, fill=None, font=None, anchor=None, **how):
        texts.append((text, xy[0], font.getlength(text)))
        return before(self, xy, text, fill, font, anchor, **how)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return texts


@pytest.mark.parametrize("name", [LONG, EVIL, f"{EVIL} {LONG}"], ids=["long", "evil", "both"])
def test_sheets_of_tiles_stay_as_they_are_whatever_the_names(name, monkeypatch):
    texts, began = drawn(monkeypatch), time.process_time()
    block = figures.Block(name, name, [figures.Tile(TILE, TILE)])
    pages = [
        figures.grid([block, block], 1, name, name, name),
        figures.overview([block] * 3, name, name, name),
        figures.one_image(
            TILE, [(figures.Tile(TILE, TILE), (0, 0, 4, 4), name, name)], name, name, name
        ),
        gallery.gallery([gallery.Tile(TILE, name, name)], name, name, name),
        strips.draw(
            [strips.Strip(name, [name], [f"{name}\n{name}"], [[TILE]], feet=[(name, [name])])],
            name,
            name,
            name,
        ),
    ]
    for text, _, _ in texts:
        assert text.isprintable() and len(text) <= 500
    assert max(page.width for page in pages) < 2200 and max(page.height for page in pages) < 1500
    assert time.process_time() - began < 5


def test_a_heading_stays_within_its_block(monkeypatch):
    texts = drawn(monkeypatch)
    block = figures.Block("map 17", "m" * 400, [figures.Tile(TILE, TILE)])
    figures.grid([block], 1, "t", "s", "l")
    (x, wide) = next((x, wide) for text, x, wide in texts if text.startswith("mm"))
    assert x + wide <= figures.MARGIN + figures.block_size(1)[0]


@pytest.mark.parametrize("width", [20, 60, 100.5, 5000])
def test_fitted_takes_as_many_characters_as_fit(width):
    text = "The quick brown fox jumps over the lazy dog"
    cut = text
    while cut and fonts.length(cut + "…", 13) > width:
        cut = cut[:-1]
    assert figures.fitted(text, width, 13) == (
        text if fonts.length(text, 13) <= width else cut + "…"
    )


@charts.styled
def chart(name):
    figure, axes = charts.sheet(1, 1, name, name)
    axes[0, 0].plot([1, 2], label=name)
    axes[0, 0].set(title=name, xlabel=name, yticks=[1], yticklabels=[charts.short(name)])
    axes[0, 0].legend()
    return charts.png(figure)


@pytest.mark.parametrize("name", [LONG, EVIL, r"$\frac$ costs $5"], ids=["long", "evil", "dollars"])
def test_charts_take_any_name(name, recwarn):
    with Image.open(io.BytesIO(chart(name))) as image:
        assert max(image.size) < 4000
    assert not [one for one in recwarn if "tight_layout" in str(one.message)]


def test_the_sentence_below_a_title_is_whole_and_names_beside_axes_are_cut():
    sentence = "What a chart shows, in as many words as it takes. " * 4
    figure, axes = charts.sheet(1, 1, "title", sentence)
    axes[0, 0].set_title(LONG)
    fonts.give_fonts(figure)
    assert [text.get_text() for text in figure.texts] == ["title", sentence]
    assert axes[0, 0].get_title() == LONG[:149] + "…"


def test_a_folder_that_is_not_utf_8_goes_through_every_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {
        name.replace("n00000002_cat", "caf\udce9"): contents for name, contents in tree(12).items()
    }
    write(
        tmp_path / "d",
        {name.replace(".png", "\udce8.png"): contents for name, contents in files.items()},
    )
    for main, words in (
        (train, "--data d --model zf32 --epochs 1 --batch 12 --out r --device cpu"),
        (visualize, "--weights r/last.h5 --layer 1 --units 1 --out v --report v.html --device cpu"),
        (visualize, "--weights r/last.h5 --layer 1 --units 1 --out w --device cpu d/val/caf\udce9/0\udce8.png"),
        (train, "--test-only --weights r/last.h5 --out t --device cpu"),
        (occlusion, "--weights r/last.h5 --count 1 --measured 1 --stride 8 --out o --device cpu"),
        (data_command, "pack d d.h5 --size 32"), (data_command, "show d.h5"), (data_command, "info d.h5 --json"),
        (data_command, r"show d --class caf\xe9 --out s.png"), (data_command, "show d --class caf\udce9 --out t.png"),
        (train, "--test-only --weights r/last.h5 --data d.h5 --out u --device cpu"),
    ):  # fmt: skip
        done = CliRunner().invoke(main, words.split())
        assert done.exit_code == 0, (words, done.output, done.exception)
    for table in ("t/confusion.csv", "t/classes.csv", "r/classes.csv"):
        assert r"caf\xe9" in (tmp_path / table).read_text()
    assert (tmp_path / "w/index.json").read_text().count(r"caf\udce9/0\udce8.png") == 1
