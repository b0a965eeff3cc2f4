"""Commands, called in this process: where nothing is asked of a process itself, a start less."""

import importlib

from click.testing import CliRunner


def called(monkeypatch, folder, name, *words):
    """The exit code of rawconv.cli.`name` in `folder`, and all it said in one line; no error but those it says."""
    monkeypatch.chdir(folder)
    main = importlib.import_module(f"rawconv.cli.{name}").main
    result = CliRunner().invoke(main, [*map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())
