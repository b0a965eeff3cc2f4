"""Commands, called in this process: where nothing is asked of a process itself, a start less; or only read."""

import importlib
import shlex

import click
from click.testing import CliRunner

from rawconv.cli import rawconv


def called(monkeypatch, folder, name, *words):
    """The exit code of rawconv.cli.`name` in `folder`, and all it said in one line; no error but those it says."""
    monkeypatch.chdir(folder)
    main = importlib.import_module(f"rawconv.cli.{name}").main
    result = CliRunner().invoke(main, [*map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def parse(line):
    """Have click read the options of `rawconv-...`, without running it.

    click.UsageError: an option or a command is unknown, or the value of an option is missing.
    """
    name, *words = shlex.split(line, comments=True)
    command, context = rawconv.main, click.Context(rawconv.main)
    words.insert(0, name.removeprefix("rawconv-"))
    while isinstance(command, click.Group) and words:
        _, command, words = command.resolve_command(context, words)
        context = click.Context(command)
    command.make_parser(context).parse_args(words)
