"""Every `--help`: what the command does in a line that begins with a verb, two examples that the
command takes, and the default of each option.
"""

import os
import re
import shlex
import subprocess
import sys
from inspect import cleandoc

import click
import pytest
from click.shell_completion import ShellComplete

from rawconv import models
from rawconv.cli.rawconv import main

VERBS = "Check Compare Compute Decode Draw Look Make Measure Pack Print Repeat Train Write"
# Options without a default: they ask for something more to be done, and nothing is where they are absent.
ASK_FOR_MORE = {"--resume", "--trace", "--report", "--verify"}
BLOCK = re.compile(r"\x08\n(.+?)(?=\n\n|\Z)", re.DOTALL)


def commands(group, words):
    """(words, command) of a group and all that is below it, as a shell is told them."""
    yield words, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            yield from commands(command, words + ("-" if group is main else " ") + name)


COMMANDS = dict(commands(main, "rawconv"))


@pytest.fixture(params=COMMANDS)
def asked(request):
    """(words, command)."""
    return request.param, COMMANDS[request.param]


def examples(command):
    """The commands in its help, a list of words each."""
    lines = [line for block in BLOCK.findall(cleandoc(command.help)) for line in block.split("\n")]
    return [shlex.split(line) for line in lines if line.startswith(("rawconv", "mpirun"))]


def test_there_are_all_commands():
    assert {"rawconv-train", "rawconv-experiment layers", "rawconv-data pack"} < set(COMMANDS)
    assert len(COMMANDS) == 1 + len(main.modules) + 11 + 5


def test_the_first_line_is_what_it_does(asked):
    """Whole in the list of the commands of a terminal of 80 columns."""
    words, command = asked
    first = cleandoc(command.help).split("\n\n")[0]
    assert first.split()[0] in VERBS.split() and first.endswith("."), first
    if command is not main:
        group = words.rpartition(" ")[0]
        beside = [name for name in COMMANDS if name.rpartition(" ")[0] == group]
        names = max(len(name.rpartition(" ")[2]) for name in beside)
        wide = 80 - 2 - 6 - names  # click leaves 2 columns, and 6 around the names
        assert not command.get_short_help_str(wide).endswith("..."), first


def test_examples_are_two_or_more_and_of_this_command(asked):
    words, command = asked
    found = [" ".join(line) for line in examples(command)]
    assert len(found) >= 2 and len(set(found)) == len(found)
    if not isinstance(command, click.Group):
        assert all(re.search(rf"(^|\d ){words} ?", line) for line in found), found
    assert "Examples:\n\n\x08\n" in cleandoc(command.help)


def test_examples_are_taken_by_the_command(asked):
    """Options and values are read as click reads them; nothing is run."""
    for line in examples(asked[1]):
        if line[0] == "mpirun":
            line = line[3:]
        command, name, *rest = main, *line[0].partition("-")[::2], *line[1:]
        words = [*filter(None, rest[:1]), *rest[1:]] if name else rest
        while isinstance(command, click.Group):
            context = click.Context(command)
            command, words = command.get_command(context, words[0]), words[1:]
        assert command.make_context("it", words).params


def test_each_option_tells_its_default(asked):
    silent = [
        max(option.opts, key=len)
        for option in asked[1].params
        if isinstance(option, click.Option)
        and not (option.is_flag or option.required or option.show_default)
        and not re.search(r"  \[.+\]$", option.help)
    ]
    assert set(silent) <= ASK_FOR_MORE


SMALL, LARGE, LENET = (models.recipe(name) for name in ("zf64", "zfnet", "lenet"))


@pytest.mark.parametrize(
    ("option", "field"),
    [
        ("epochs", "epochs"), ("batch", "batch"), ("lr", "lr"), ("schedule", "schedule"), ("warmup", "warmup"),
        ("momentum", "momentum"), ("decay", "weight_decay"), ("renorm", "max_filter_rms"), ("crop", "crop"),
    ],
)  # fmt: skip
def test_the_defaults_of_training_are_those_of_the_recipes(option, field):
    small, large, lenet = (getattr(recipe, field) for recipe in (SMALL, LARGE, LENET))
    want = f"{small:g}" if isinstance(small, float) else f"{small}"
    want += f"; large nets: {large:g}" if isinstance(large, float) and large != small else ""
    want += f"; large nets: {large}" if not isinstance(large, float) and large != small else ""
    want += f"; lenet: {lenet}" if lenet != small else ""
    assert help_of("rawconv-train", f"--{option}").endswith(f"  [{want}]")


def help_of(words, name):
    (option,) = (option for option in COMMANDS[words].params if name in option.opts)
    return option.help


def test_the_defaults_of_dropout_and_of_the_first_layer_s_rate():
    rates = {}
    for model in models.MODELS.values():
        (size, *_), layers = model(10)
        rates.setdefault(size, set()).update(
            layer.rate for name, layer in layers if name.startswith("drop")
        )
    assert rates == {28: set(), 32: {0.5}, 64: {0.3}, 224: {0.5}}
    assert help_of("rawconv-train", "--dropout").endswith("  [0.5; nets of 64 pixels: 0.3]")
    assert (SMALL.first_lr, LARGE.first_lr, LENET.first_lr) == (0.1, 1, 1)
    assert help_of("rawconv-train", "--rate").endswith("  [1; in zf64 and zf32 conv1=0.1]")


@pytest.mark.parametrize("name", ["evolution", "filters", "transfer", "layers"])
def test_experiments_that_train_their_net_say_so(name):
    """--weights falls back on a training there, and on the shipped net everywhere else."""
    assert "trained" in help_of(f"rawconv-experiment {name}", "--weights").partition("  [")[2]
    assert "what the net learned from]" not in help_of(f"rawconv-experiment {name}", "--data")


def test_experiments_on_one_net_take_the_shipped_one():
    for name in ("occlusion", "invariance", "correspondence", "controls", "features"):
        assert help_of(f"rawconv-experiment {name}", "--weights").endswith("else the shipped one]")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_tab_key_completes_as_the_page_of_commands_says(shell):
    code = "from rawconv.cli.rawconv import main; main(prog_name='rawconv')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"_RAWCONV_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "_RAWCONV_COMPLETE=" in done.stdout
    complete = ShellComplete(main, {}, "rawconv", "_RAWCONV_COMPLETE")
    assert "occlusion" in [found.value for found in complete.get_completions(["experiment"], "occ")]
    assert "--schedule" in [found.value for found in complete.get_completions(["train"], "--sch")]
