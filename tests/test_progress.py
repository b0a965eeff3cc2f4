"""Bars of progress and PNG files: one way to make each."""

import ast
import io
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from rawconv.errors import RawconvError
from rawconv.files.png import png_bytes, write_png
from rawconv.files.progress import progress_bar

ROOT = pathlib.Path(__file__).parent.parent / "rawconv"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def terminal_of(monkeypatch):
    # not in a fixture: pytest puts its own in place before the test
    monkeypatch.setattr(sys, "stderr", Terminal())
    return sys.stderr


def test_a_bar_of_long_work_has_rate_and_time_left_and_stays(monkeypatch):
    terminal = terminal_of(monkeypatch)
    with progress_bar(10, "scan", done=4, stay=True) as bar:
        bar.update(1)
        bar.refresh()
    last = terminal.getvalue().rsplit("\r", 1)[1]
    assert (
        last.startswith("scan:  50%")
        and "5/10 [" in last
        and "<" in last
        and " pictures/s]" in last
    )
    assert last.endswith("\n")


def test_a_short_one_appears_late_and_vanishes(monkeypatch):
    terminal = terminal_of(monkeypatch)
    with progress_bar(10, "test", "units") as bar:
        bar.update(5)
    assert terminal.getvalue().strip() == ""
    with progress_bar(10, "test", "units") as bar:
        bar.start_t, bar.last_print_t = bar.start_t - 2, bar.last_print_t - 2
        bar.update(5)
    assert "test:  50%" in terminal.getvalue() and " units/s]" in terminal.getvalue()
    assert terminal.getvalue().rsplit("\r", 2)[1].strip() == "" and "\n" not in terminal.getvalue()


def test_hidden_where_asked_and_where_nobody_watches(monkeypatch):
    terminal = terminal_of(monkeypatch)
    with progress_bar(10, show=False, stay=True) as bar:
        bar.update(5)
    assert terminal.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_bar(10, stay=True) as bar:
        bar.update(5)
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize(
    ("name", "value"), [("TQDM_MININTERVAL", "q"), ("TQDM_BAR_FORMAT", "{nothing}")]
)
def test_a_value_of_the_environment_that_tqdm_cannot_use_is_one_sentence(name, value):
    code = (
        "import sys\n"
        "from rawconv.files.progress import progress_bar\n"
        "from rawconv.errors import UsageError\n"
        "sys.stderr.isatty = lambda: True\n"
        "try: progress_bar(3, stay=True)\n"
        "except UsageError as error: print(error)\n"
    )
    environment = os.environ | {name: value}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert result.stdout.startswith(f"tqdm cannot use {name} of the environment:"), result
    assert result.stdout.endswith("; unset it.\n") and result.stderr == ""


def test_a_png_file_is_exact_and_replaced_as_a_whole(tmp_path, monkeypatch):
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    write_png(tmp_path / "a.png", Image.fromarray(pixels))
    assert (np.asarray(Image.open(tmp_path / "a.png")) == pixels).all()
    assert (tmp_path / "a.png").read_bytes() == png_bytes(Image.fromarray(pixels))
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "no room")))
    with pytest.raises(RawconvError, match="no room|No space"):
        write_png(tmp_path / "a.png", Image.fromarray(255 - pixels))
    assert (np.asarray(Image.open(tmp_path / "a.png")) == pixels).all()


def test_there_is_no_other_way_to_make_them():
    saves, bars = set(), set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "save"
            ):
                words = [word.value for word in node.args if isinstance(word, ast.Constant)]
                saves |= {path.name} if "png" in str(words).lower() else set()
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
                "tqdm",
                "trange",
            ):
                bars.add(path.name)
    assert saves == {"png.py"} and bars == {"progress.py"}
