"""What the pages say of measured numbers is what docs/numbers keeps, and that is what its commands find."""

import datetime
import json
import pathlib

import click
import numpy as np
import pytest
from commands import parse
from PIL import Image

from rawconv.layers.cpu import AUTO_VERSION

TOOLS = pathlib.Path(__file__).parent.parent / "tools"
pytestmark = pytest.mark.skipif(
    not TOOLS.exists(), reason="the checkout's tools/ is not here: installed tests"
)
TAKE_MINUTES = [
    "controls"
]  # files of docs/numbers whose commands train nothing, and are tried again
KNOWN = {"shapes": {"photos": {"units": 64, "cosine": {"other-unit": 0.5549}, "rows": [3, 0.25]}}}


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import make_docs

    return make_docs


def test_pictures_lose_colours_only_where_it_is_not_seen(monkeypatch):
    """A chart of few colours is reduced; noise, which 256 colours would change, is kept as it is."""
    monkeypatch.syspath_prepend(str(TOOLS))
    import make_pictures

    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    chart = np.full((90, 90, 3), 255, np.uint8)
    chart[20:40, 10:80] = 70, 120, 190
    kept, few = (make_pictures.reduced(Image.fromarray(pixels)) for pixels in (noise, chart))
    assert (kept.mode, few.mode) == ("RGB", "P")
    assert np.array_equal(np.asarray(kept), noise)
    assert np.array_equal(np.asarray(few.convert("RGB")), chart)


def block(template, shown):
    return f"before 1.5\n\n<!-- numbers\n{template}\n-->\n{shown}\n\nafter {{x}}\n"


def test_a_template_is_filled_and_all_else_stays(tool):
    template = "Of {shapes[photos][units]} {shapes[photos][cosine][other-unit]:.2f}, {shapes[photos][rows][1]:.0%}."
    want = block(template, "Of 64 0.55, 25%.")
    assert tool.render(block(template, "Of 9\n0.10, 1%."), KNOWN) == want
    assert (
        tool.render(want, KNOWN) == want and tool.render("{no} template", KNOWN) == "{no} template"
    )
    end = "<!-- numbers\n{shapes[photos][units]}\n-->\n9\n"
    assert tool.render(end, KNOWN) == "<!-- numbers\n{shapes[photos][units]}\n-->\n64\n"


def test_a_paragraph_is_wrapped_and_a_table_is_not(tool):
    words, rows = "a word {shapes[photos][units]} " * 20, "| {shapes[photos][units]} | x |\n" * 3
    wrapped = tool.render(block(words, "x"), KNOWN).split("-->\n")[1].split("\n\n")[0].split("\n")
    assert len(wrapped) > 1 and max(map(len, wrapped)) <= 120
    assert " ".join(wrapped) == ("a word 64 " * 20).strip()
    table = rows.strip()
    assert tool.render(block(table, "x"), KNOWN) == block(table, "| 64 | x |\n" * 2 + "| 64 | x |")


def test_an_interval_is_written_whole(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "NUMBERS", tmp_path)
    found = {"mean": 0.257, "low": -0.001, "high": -0.1, "std": 2.0}
    (tmp_path / "a.json").write_text(json.dumps({"b": {"command": "", "numbers": {"c": found}}}))
    text = block("It is {a[b][c]:+.2f}; {a[b][c][std]}.", "x")
    assert "It is +0.26 (0.00 to -0.10); 2.0.\n" in tool.render(text, tool.numbers())


@pytest.mark.parametrize("field", ["shapes[scenes][units]", "nothing", "shapes[photos][rows][7]"])
def test_a_number_that_is_not_kept_is_told(tool, field):
    with pytest.raises(click.ClickException, match="are not kept"):
        tool.render(block(f"It is {{{field}}}.", "It is 1."), KNOWN)


def test_the_pages_say_what_the_numbers_are(tool):
    known = tool.numbers()
    for path in tool.pages():
        text = path.read_text()
        assert tool.render(text, known) == text, f"python tools/make_docs.py writes {path.name}"
        assert text.count("<!-- numbers") == len(tool.TEMPLATE.findall(text)), path


def test_kept_numbers_are_those_of_a_command(tool):
    for path in tool.NUMBERS.glob("*.json"):
        for part, measured in json.loads(path.read_text()).items():
            if path.stem.endswith("-tried"):  # a history, kept by hand
                assert measured.keys() == {"date", "command", "numbers"}, (path, part)
                continue
            always = {"command", "made", "numbers"}
            assert always <= set(measured) <= always | {"before", "keep"}, (path, part)
            assert measured["numbers"], (path, part)
            made = measured["made"]
            assert made.keys() == {"date", "auto"}, (path, part)
            datetime.date.fromisoformat(made["date"])
            assert 1 <= made["auto"] <= AUTO_VERSION, (path, part)
            command = measured["command"]
            assert command.startswith(("rawconv-", "python tools/")) and "--json" in command


def test_measuring_keeps_what_the_commands_find(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "NUMBERS", tmp_path)
    kept, command = tmp_path / "net.json", "rawconv-info rawconv/scenes.h5 --json"
    other = {"command": "rawconv-info nothing.h5 --json", "numbers": {"x": 1}}
    old = {"command": command, "made": {"date": "2026-11-25", "auto": 0}, "numbers": {"x": 1}}
    kept.write_text(json.dumps({"scenes": old, "other": other}))
    days = [datetime.date.today()]
    tool.measure("net:scenes", tmp_path)
    days.append(datetime.date.today())
    found = json.loads(kept.read_text())
    assert found["scenes"]["command"] == command and found["other"] == other
    assert found["scenes"]["made"] in [{"date": str(day), "auto": AUTO_VERSION} for day in days]
    assert found["scenes"]["numbers"]["parameters"] > 1e6
    pytest.importorskip(
        "onnx", reason="onnx is not installed: a command before another is not measured"
    )
    before = ["rawconv-export rawconv/scenes.h5 out.onnx", "rawconv-import out.onnx again.h5"]
    again = {"before": before, "command": "rawconv-info again.h5 --json", "keep": ["parameters"]}
    (tmp_path / "again.json").write_text(json.dumps({"it": again}))
    tool.measure("again", tmp_path)
    assert json.loads((tmp_path / "again.json").read_text())["it"]["numbers"] == {
        "parameters": found["scenes"]["numbers"]["parameters"]
    }
    with pytest.raises(click.ClickException, match="exit code"):
        tool.measure("net", tmp_path)
    for name, says in (("net:more", "has no part 'more'"), ("gone", "There is no")):
        with pytest.raises(click.ClickException, match=says):
            tool.measure(name, tmp_path)
    (tmp_path / "past-tried.json").write_text(json.dumps({"it": {"date": "2026-11-25"}}))
    with pytest.raises(click.ClickException, match="history, kept by hand"):
        tool.measure("past-tried", tmp_path)
    assert tool.rounded({"a": [0.123456789, 3, "x", None]}) == {"a": [0.123457, 3, "x", None]}


def test_what_was_interrupted_goes_on(tool, tmp_path, monkeypatch):
    """What ended in the folder is not done again, a training is resumed; what another version began is not."""
    nets = [f"rawconv-train --model lenet --seed {seed} --out nets/{seed}" for seed in range(3)]
    about = {"before": nets, "command": "rawconv-info it --json", "numbers": {"x": 1}}
    (tmp_path / "it.json").write_text(json.dumps({"part": about}))
    asked = []

    def run(command, at):
        asked.append(command)
        folder = at / command.split()[-1]
        if command.startswith("rawconv-train"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "last.h5").touch()
        if asked == nets[:2]:
            raise click.ClickException("It was interrupted.")
        return {"x": 2}

    monkeypatch.setattr(tool, "NUMBERS", tmp_path)
    monkeypatch.setattr(tool, "run", run)
    with pytest.raises(click.ClickException, match="interrupted"):
        tool.measure("it", tmp_path)
    assert json.loads((tmp_path / "it.json").read_text())["part"] == about
    tool.measure("it", tmp_path)
    again = ["rawconv-train --resume nets/1", nets[2], about["command"]]
    assert asked == [*nets[:2], *again]
    tool.measure("it", tmp_path)
    assert asked[5:] == [about["command"]]
    monkeypatch.setattr(tool, "AUTO_VERSION", AUTO_VERSION + 1)
    tool.measure("it", tmp_path)
    assert asked[6:] == [*nets, about["command"]]


def commands_of_numbers():
    """Every command of docs/numbers, but those of histories, which speak of options that are gone."""
    for path in sorted((TOOLS.parent / "docs/numbers").glob("*.json")):
        if not path.stem.endswith("-tried"):
            for part in json.loads(path.read_text()).values():
                yield from (*part.get("before", []), part["command"])


def test_the_commands_of_the_numbers_have_options_that_exist():
    lines = {line for line in commands_of_numbers() if line.startswith("rawconv-")}
    assert len(lines) > 30
    for line in lines:
        parse(line)
    with pytest.raises(click.NoSuchOption, match="--force"):
        parse("rawconv-train --data photos/ --out half --force")


def test_the_tools_of_the_numbers_are_there():
    tools = {line.split()[1] for line in commands_of_numbers() if line.startswith("python ")}
    assert tools
    assert all((TOOLS.parent / one).is_file() for one in tools)


@pytest.mark.long
@pytest.mark.parametrize("name", TAKE_MINUTES)
def test_the_commands_find_the_kept_numbers_again(tool, tmp_path, monkeypatch, name):
    """To a hundredth of each, on another machine as well."""
    kept = (tool.NUMBERS / f"{name}.json").read_text()
    if "$RAWCONV_PHOTOS" in kept and "RAWCONV_PHOTOS" not in tool.os.environ:
        pytest.skip("RAWCONV_PHOTOS is not set: no photographs to measure on")
    monkeypatch.setattr(tool, "NUMBERS", tmp_path)
    (tmp_path / f"{name}.json").write_text(kept)
    tool.measure(name, tmp_path)
    assert_alike(json.loads((tmp_path / f"{name}.json").read_text()), json.loads(kept))


def assert_alike(found, want):
    if isinstance(want, dict):
        assert found.keys() == want.keys()
        found, want = list(found.values()), list(want.values())
    if isinstance(want, list):
        for one, other in zip(found, want, strict=True):
            assert_alike(one, other)
    else:
        assert found == (
            pytest.approx(want, rel=0.01, abs=0.005) if isinstance(want, float) else want
        )
