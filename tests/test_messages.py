"""What is said is safe to say: no name in a file steers a terminal; and what is given empty is not given."""

import ast
import importlib
import pathlib

import click
import pytest
from click.testing import CliRunner
from test_data_sources import tree, write_zip

from rawconv.cli import common, experiments
from rawconv.cli.data import main as data_command
from rawconv.errors import RawconvError, UsageError
from rawconv.files.messages import escaped, few, printable

PACKAGE = pathlib.Path(common.__file__).parent.parent
SPEAKERS = {"messages.py", "common.py"}


def test_only_two_files_write_to_the_terminal():
    """All others say it by warn, say, echo or finish, which make names printable."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                written = called in (
                    "print",
                    "click.echo",
                    "click.secho",
                    "sys.stdout.write",
                    "sys.stderr.write",
                )
                assert not written or path.name in SPEAKERS, (
                    f"{path.name}, line {node.lineno}: {called}"
                )


@pytest.mark.parametrize("speak", [common.say, common.echo])
def test_control_codes_are_not_spoken(speak, capfd):
    speak("a\x1b[31m\nb\x07 \x9b2J \udce9 \u202e été")
    assert "".join(capfd.readouterr()) == "a?[31m?b? ?2J ? ? été\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("été 猫 a\u3000b می\u200cخواهم $x", "été 猫 a\u3000b می\u200cخواهم $x"),
        ("caf\udce9", r"caf\xe9"),
        ("\x1b[2Jcat\n\x9b\u202e\ud800", r"\x1b[2Jcat\n\x9b\u202e\ud800"),
    ],
)
def test_escaped_names_can_be_stored_and_told_apart(name, text):
    assert escaped(name) == text and escaped(text) == text and printable(text).count("?") <= 2
    text.encode()


def test_names_inside_a_zip_are_printed_safely_by_every_command(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    evil = "\x1b[2J\x1b]0;owned\x07"
    files = {name.replace("dog", f"dog{evil}"): contents for name, contents in tree(4).items()}
    files[f"train/n00000002_cat/{evil}.png"] = b"no picture"
    files[f"train/n00000002_cat/{evil}2.png"] = files["train/n00000002_cat/0.png"]
    write_zip(tmp_path / "evil.zip", files)
    for words in (
        "info evil.zip",
        "pack evil.zip evil.h5 --size 8",
        "info evil.h5",
        "mean evil.zip",
        "show evil.zip",
    ):
        done = CliRunner().invoke(data_command, words.split())
        written = done.output + "".join(capfd.readouterr())
        assert done.exit_code == 0 and "\x1b" not in written and "\x07" not in written, written
        assert "owned" in written or "mean" in words or "show" in words


def every_command():
    names = sorted(
        path.stem
        for path in (PACKAGE / "cli").glob("*.py")
        if path.stem not in ("__init__", "common")
    )
    modules = [importlib.import_module(f"rawconv.cli.{name}") for name in names]
    mains = [module.main for module in modules if hasattr(module, "main")]
    mains += [experiments.main.get_command(None, name) for name in experiments.NAMES]
    return [
        one
        for main in mains
        for one in (getattr(main, "commands", None) or {main.name: main}).values()
    ]


def test_what_is_given_empty_is_a_usage_error_of_every_command():
    seen = set()
    for main in every_command():
        needed = [param for param in main.params if isinstance(param, click.Argument)]
        for param in main.params:
            text = not isinstance(
                param.type, click.Choice | click.types.IntParamType | click.types.FloatParamType
            )
            if not text or getattr(param, "is_flag", False):
                continue
            words = ["" if one is param else "x" for one in needed]
            words += [
                f"{option.opts[0]}=x"
                for option in main.params
                if option.required and option not in needed
            ]
            words += [f"{param.opts[0]}="] if isinstance(param, click.Option) else []
            done = CliRunner().invoke(main, words)
            assert (
                done.exit_code == 2 and "is empty; give it a value, or leave it out" in done.stderr
            ), (main, words)
            seen.add(param.opts[0])
    assert seen >= {
        "--data",
        "--out",
        "--weights",
        "--report",
        "--resume",
        "--val",
        "--classes",
        "pictures",
        "source",
    }


@pytest.mark.parametrize("kind", [RawconvError, UsageError])
def test_an_error_is_one_line_whatever_it_quotes(kind):
    assert str(kind("a\nb\r\nc is damaged.")) == "a b c is damaged."
    assert str(kind("ab is damaged.")) == "ab is damaged."


def test_of_many_names_a_few_are_told():
    names = ["cat", "dog", "emu", "fox"]
    assert few(names[:3]) == few(names[:3], counted=True) == "cat, dog, emu" and few([]) == ""
    assert few(names) == "cat, dog, emu, ..." and few(names, 4) == "cat, dog, emu, fox"
    assert few([*names, "gnu"], counted=True) == "cat, dog, emu and 2 others"
    assert few(["a" * 41, "b" * 40], longest=40) == "a" * 39 + "…, " + "b" * 40
