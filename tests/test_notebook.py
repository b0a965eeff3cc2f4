"""What a notebook shows: reprs, rich displays, progress bars and errors, in a real kernel where there is one."""

import base64
import copy
import html.parser
import io
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from nets import FULL, make
from PIL import Image

import rawconv
from rawconv.data.dataset import DataSet, Split
from rawconv.errors import RawconvError, UsageError
from rawconv.files import html_text
from rawconv.visualize.forward_pass import ForwardPass, forward_pass
from rawconv.visualize.images import crop
from rawconv.visualize.projection import project
from rawconv.visualize.top_activations import TopActivations
from rawconv.visualize.units import Unit

ROOT = pathlib.Path(__file__).parent.parent
EVIL = "<script>alert(1)</script>\x1b[2J"


class Page(html.parser.HTMLParser):
    """The tags, attributes, cells and words of a piece of HTML; every tag is closed."""

    VOID = {"img"}

    def __init__(self, shown):
        super().__init__()
        self.tags, self.rows, self.words, self.images, self.open = set(), [], [], [], []
        self.feed(shown._repr_html_() if hasattr(shown, "_repr_html_") else shown)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        attributes = dict(attributes)
        assert not {name for name in attributes if name.startswith("on")}
        style = attributes.get("style", "")
        assert not re.search(r"(?<![\w-])(color:(?!inherit)|background)", style), (
            "the notebook's own colours"
        )
        if tag == "img":
            assert attributes["alt"]
            data = base64.b64decode(attributes["src"].removeprefix("data:image/png;base64,"))
            self.images.append(np.asarray(Image.open(io.BytesIO(data))))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, words):
        self.words.append(words)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += words


def shipped():
    return rawconv.load(ROOT / "rawconv/scenes.h5")


def scene():
    return ROOT / "docs/pictures/scene.png"


@pytest.fixture(scope="module")
def passed():
    return forward_pass(shipped(), scene())


def test_a_net_is_a_table_of_its_layers():
    net = make(np, FULL)
    # conv1: 4 filters of 3x3x2 and 4 biases; conv2: 6 of 3x3x2 (two groups) and 6; conv3: 5 of 3x2x6 and 5; fc: ...
    wanted = sum(int(np.prod(value.shape)) for value in net.params.values())
    line = f"<Net a net, pictures 21x18x2, {len(FULL)} layers, {wanted:,} parameters>"
    assert repr(net) == line
    page = Page(net)
    heads, first, *others = page.rows
    assert heads == ["layer", "type", "window", "output", "field", "stride", "parameters"]
    assert first == ["conv1", "Conv", "3/2", "10x9x4", "3", "2", "76"]
    assert [row[0] for row in others] == [name for name, *_ in FULL[1:]]
    assert others[1][3:6] == ["5x4x4", "7", "4"], (
        "a pool of 3/2 above a stride of 2 sees 3 + 2 * 2 pixels"
    )
    assert "script" not in page.tags


def test_names_from_files_are_escaped():
    net = copy.copy(make(np, FULL))
    net.classes = [EVIL] * 5
    data = DataSet(EVIL, EVIL, [EVIL], split(1), split(1))
    for shown in (net, data, html_text.table([EVIL], [[EVIL]]), html_text.picture(np.zeros((2, 2, 3), np.uint8), EVIL),
                  html_text.title(EVIL, EVIL), html_text.note(EVIL), Unit(0, EVIL, 3)):  # fmt: skip
        page = Page(shown)
        assert "script" not in page.tags and "alert(1)" in "".join(page.words)
        assert "\x1b" not in "".join(page.words)


def split(classes, count=4):
    """A split of plain pictures, each of the grey of its number."""
    return Split(
        lambda ids: np.repeat(ids.astype(np.uint8), 6 * 5 * 3).reshape(-1, 6, 5, 3),
        np.arange(count) % classes, [f"picture {k}" for k in range(count)], (6, 5, 3),
    )  # fmt: skip


def test_splits_say_their_size_and_show_a_picture_of_each_class():
    data = DataSet("zoo", "zoo/", ["cat", "emu"], split(2, 5), split(2, 2))
    assert repr(data) == "<DataSet zoo: 2 classes, pictures of 6x5: train 5, val 2>"
    assert repr(data.train) == "<Split of 5 pictures of 6x5 in 2 classes>"
    assert repr(split(1)) == "<Split of 4 pictures of 6x5 in 1 class>"
    page = Page(data)
    assert page.rows == [
        ["class", "train", "val"],
        ["cat", "3", "1"],
        ["emu", "2", "1"],
        ["total", "5", "2"],
    ]
    assert [image[0, 0].tolist() for image in page.images] == [[0] * 3, [1] * 3]
    assert [words for words in page.words if words in data.classes] == ["cat", "emu"] * 2
    assert len(Page(data.train).images) == 2 and "class 1" in Page(data.train).words
    assert len(Page(split(300, 300)).images) == 10
    many = DataSet(
        "zoo", "zoo/", [f"class {k}" for k in range(300)], split(300, 300), split(300, 300)
    )
    assert len(Page(many).rows) == 202 and "And 100 other classes." in Page(many).words


def test_a_forward_pass_shows_its_pictures_and_what_they_are_taken_for(passed):
    assert repr(passed) == "<ForwardPass of 1 picture up to scores of zf64>"
    page = Page(passed)
    assert np.array_equal(page.images, passed.center_crops())
    best = ", ".join(f"{name} {p:.1%}" for name, p in rawconv.classify(passed.net, scene()))
    assert f"picture 0: {best}" in page.words
    half = ForwardPass(passed.net, np.repeat(passed.x, 9, axis=0), ["conv2"])
    assert repr(half) == "<ForwardPass of 9 pictures up to conv2 of zf64>"
    none = ForwardPass(passed.net, passed.x[:0])
    assert "0 pictures" in repr(none) and not Page(none).images
    assert not Page(half).images and "and 1 others" in Page(half).words


def test_a_unit_says_what_it_is():
    assert (
        repr(Unit(0, "conv4", 17))
        == "Unit(image=0, layer='conv4', channel=17, y=None, x=None, whole=False)"
    )
    for unit, words in (
        (Unit(2, "conv4", 17, 3, 5), "conv4:17:3:5 feature map 17 of conv4, row 3, column 5, in picture 2"),
        (Unit(0, "conv4", 17), "conv4:17 feature map 17 of conv4, its strongest place, in picture 0"),
        (Unit(0, "conv4", 17, whole=True), "conv4:17:* feature map 17 of conv4, all of it, in picture 0"),
    ):  # fmt: skip
        assert "".join(Page(unit).words) == words


def test_a_projection_is_its_picture_with_value_field_and_scale(passed):
    (unit,) = passed.strongest("conv2", 1)
    one, score, dead = project(passed, [unit, "scores:face", "conv2:5:3:4"])
    page, (top, left, bottom, right) = Page(one), one.box
    assert 0 < top < bottom < 64 and 0 < left < right < 64, "a field inside of the picture"
    shown = one.pixels[top:bottom, left:right]
    assert np.array_equal(page.images[0], passed.center_crops()[0][top:bottom, left:right])
    assert np.array_equal(page.images[1], rawconv.display(shown))
    scale = f"{np.abs(shown).max():.4g}"
    assert (
        repr(one)
        == f"<Projection of {unit} in picture 0: value {one.value:.4g}, field 19x19 at rows {top} to "
        f"{bottom - 1}, columns {left} to {right - 1}, largest |pixel| {scale}>"
    )
    sentence = (
        f"Grey is 0, full contrast {scale} on either side, the largest |value| of this projection."
    )
    assert sentence in page.words
    assert any(
        "goes down as 1" in words for words in Page(score).words
    ) and "scores:face in" in repr(score)
    assert dead.dead and ", dead, " in repr(dead) and passed.dead(dead.unit) in Page(dead).words
    alone = ForwardPass(passed.net, passed.x)
    (unseen,) = project(alone, [unit])
    assert len(Page(unseen).images) == 1
    (over,) = project(passed, ["conv4:117:0:0"])
    assert np.array_equal(Page(over).images[0], crop(passed.center_crops()[0], over.box))


def test_top_activations_are_a_table_of_the_maps_that_were_excited_most():
    value = np.array([[3.0, 1.0], [9.0, 2.5]])
    image = np.array([[7, 2], [4, 0]])
    top = TopActivations(value, image, np.full((2, 2), 5), np.full((2, 2), 6), np.full((2, 2), -1))
    line = "TopActivations of 2 feature maps, 2 pictures each; the largest: 9, map 1 in picture 4 at 5:6"
    assert repr(top) == f"<{line}>"
    page = Page(top)
    heads, *rows = page.rows
    assert heads == ["map", "strongest", "number 2", "pictures"]
    assert rows == [["1", "9", "2.5", "4, 0"], ["0", "3", "1", "7, 2"]]
    assert repr(top.first(0)) == "<TopActivations of 2 feature maps, 0 pictures each>"
    assert "0 pictures each" in "".join(Page(top.first(0)).words)
    many = TopActivations(*(np.repeat(column, 20, axis=0) for column in top))
    assert len(Page(many).rows) == 21 and "And 20 other maps." in "".join(Page(many).words)


# --------------------------------------------------------------------------------------------- errors and bars


@pytest.mark.parametrize("kind", [RawconvError, UsageError])
def test_plain_python_keeps_its_traceback(kind):
    code = f"from rawconv.errors import {kind.__name__} as E\ndef f():\n    raise E('It is\\nbroken.')\nf()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Traceback (most recent call last)" in done.stderr and "in f" in done.stderr
    assert done.stderr.endswith(f"rawconv.errors.{kind.__name__}: It is broken.\n")
    assert kind("It is\nbroken.")._render_traceback_() == [f"{kind.__name__}: It is broken."]


def run_cells(cells, folder):
    """The cells of a notebook after a kernel has run them; None runs the errors too."""
    nbformat = pytest.importorskip("nbformat", reason="pip install 'rawconv[test]'")
    nbclient = pytest.importorskip("nbclient", reason="pip install 'rawconv[test]'")
    pytest.importorskip("ipykernel", reason="pip install 'rawconv[test]'")
    book = nbformat.v4.new_notebook(cells=cells)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    client = nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    with client.setup_kernel(env=environment):
        for number, cell in enumerate(cells):
            if cell["cell_type"] == "code":
                client.execute_cell(cell, number)
    return [cell for cell in cells if cell["cell_type"] == "code"]


BAR = """
import rawconv
from rawconv.files.progress import progress_bar
with progress_bar(3, "scan", stay=True) as bar:
    for _ in range(3): bar.update()
"""


def test_bars_of_a_notebook_without_ipywidgets_are_text_and_nothing_warns(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="pip install 'rawconv[test]'")
    hidden = "import sys\nsys.modules['ipywidgets'] = None"
    cells = [nbformat.v4.new_code_cell(text) for text in (hidden, BAR)]
    _, bar = run_cells(cells, tmp_path)
    assert {output["output_type"] for output in bar["outputs"]} == {"stream"}
    text = "".join(output["text"] for output in bar["outputs"])
    assert "scan: 100%" in text and "3/3" in text and "arn" not in text


def test_the_example_shows_all_of_it_in_a_real_kernel(tmp_path):
    """Tables, pictures, a bar, one sentence for an error, and the explorer in a frame."""
    pytest.importorskip("starlette", reason="pip install 'rawconv[explore]'")
    pytest.importorskip("uvicorn", reason="pip install 'rawconv[explore]'")
    nbformat = pytest.importorskip("nbformat", reason="pip install 'rawconv[test]'")
    book = nbformat.read(ROOT / "examples/look_into_a_net.ipynb", 4)
    assert all(not cell["outputs"] for cell in book.cells if cell["cell_type"] == "code")
    os.symlink(ROOT / "docs", tmp_path / "docs")
    net, data, passed, unit, projection, top, figure, error, explorer = run_cells(
        book.cells, tmp_path
    )
    for cell, wanted in ((net, "<td"), (data, "<img"), (passed, "face 100.0%"), (unit, "<b>conv4:117:2:2</b>"),
                         (projection, "full contrast"), (top, "strongest"), (explorer, "<iframe src=")):  # fmt: skip
        shown = cell["outputs"][-1]["data"]
        assert wanted in shown["text/html"] and "<script" not in shown["text/html"]
        assert len(shown["text/plain"]) < 250 and "object at 0x" not in shown["text/plain"]
    assert "image/png" in figure["outputs"][-1]["data"]
    (sentence,) = error["outputs"]
    assert sentence["output_type"] == "error" and len(sentence["traceback"]) == 1
    assert sentence["traceback"][0].startswith("UsageError: There is no layer 'conv9' in this net;")
    said = [output.get("text", "") for cell in book.cells for output in cell.get("outputs", ())]
    assert "arn" not in "".join(said), "no warning"
    bar = top["outputs"][0]
    widget = "application/vnd.jupyter.widget-view+json" in bar.get("data", {})
    assert widget or "scan" in bar["text"]
