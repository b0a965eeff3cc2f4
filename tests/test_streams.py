"""stdout and stderr that are closed, full or for ASCII alone; errors that click would swallow."""

import os
import pathlib
import subprocess
import sys

import pytest
from click.testing import CliRunner

from rawconv.cli import common
from rawconv.errors import RawconvError

ROOT = pathlib.Path(__file__).parent.parent
COMMAND = """
import os, sys
from rawconv.cli import common
@common.command("rawconv-test")
def main():
    "Writes to both, and to a file, which must not get the number of a closed stream."
    with open("file", "w") as file:
        common.echo("out: Käse \\N{CAT FACE}")
        common.say("err: Käse")
        os.write(1, b"")
        sys.exit(file.fileno() if file.fileno() < 3 else 0)
main()
"""
FULL = "Error: No space left on device; free some space.\n"
OUT, ERR = "out: Käse 🐱\n", "err: Käse\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        ("", 0, OUT, ERR),
        (">&-", 0, "", ERR),
        ("2>&-", 0, OUT, ""),
        ("<&- >&- 2>&-", 0, "", ""),
        (">/dev/full", 1, "", FULL),
        ("2>/dev/full", 0, OUT, ""),
        (">/dev/full 2>&1", 1, "", ""),
        ("| true", 141, "", ""),
        ("--nope 2>&-", 2, "", ""),
        ("--nope 2>/dev/full", 2, "", ""),
        ("--help >&-", 0, "", ""),
        ("--help >/dev/full", 1, "", FULL),
        ("--help | true", 141, "", ""),
        ("--version 2>&1 | true", 141, "", ""),
    ],
)
def test_what_cannot_be_written_has_the_right_code(words, code, out, err, tmp_path):
    (tmp_path / "main.py").write_text(COMMAND)
    line = f"set -o pipefail; {{ read; exec {sys.executable} main.py WORDS"
    line = line.replace(
        "WORDS",
        words.replace("| true", "; } < <(sleep 0.3; echo) | true") if "|" in words else words,
    )
    line = line if "|" in words else f"{sys.executable} main.py {words}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0",
                                         "PYTHONCOERCECLOCALE": "0"}])  # fmt: skip
def test_no_encoding_stops_a_command(environment, tmp_path):
    (tmp_path / "main.py").write_text(COMMAND)
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}
                          | environment, text=True, capture_output=True, timeout=60)  # fmt: skip
    # UTF-8, since ASCII is hardly ever meant
    assert (done.returncode, done.stdout, done.stderr) == (0, OUT, ERR)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_progress_that_nobody_sees_ends_nothing(tmp_path):
    """stderr is full, or a pipe whose reader is gone."""
    (tmp_path / "main.py").write_text(COMMAND.replace('common.say("err: Käse")', """
        import tqdm, warnings
        for i in tqdm.tqdm(range(9), mininterval=0): warnings.warn("lost", stacklevel=1)
    """.strip()))  # fmt: skip
    for words in ("2>/dev/full", "2> >(true)"):
        line = f"{sys.executable} main.py {words}"
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
                              capture_output=True, timeout=60)  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, OUT, "")


def failing(raises):
    @common.command("rawconv-test")
    def fail():
        """Fails."""
        raises()

    return CliRunner().invoke(fail)


def test_an_eof_error_keeps_its_traceback():
    """click answers it with "Aborted!" and nothing else."""

    def raises():
        raise EOFError("Ran out of input")

    found = failing(raises)
    assert isinstance(found.exception.__cause__, EOFError) and "Aborted" not in found.output


def hidden():
    try:
        raise MemoryError
    finally:
        # HDF5, when it closes what it could not write
        raise ValueError("I/O operation on closed file.")


def no_strerror():
    raise OSError("Can't write data (file write failed: error message = 'Cannot allocate memory')")


def no_thread():
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(("raises", "sentence"), [(hidden, "not enough memory"), (no_strerror, "not enough memory"),
                                                  (no_thread, "RAWCONV_NUM_THREADS")])  # fmt: skip
def test_too_little_memory_is_one_sentence_in_every_shape(raises, sentence):
    found = failing(raises)
    assert found.exit_code == 1 and sentence in found.stderr and found.stderr.count("\n") == 1


def test_other_errors_are_not_taken_for_it():
    def raises():
        try:
            raise KeyError("memory")
        except KeyError:
            raise ValueError("a bug")  # noqa: B904

    assert isinstance(failing(raises).exception, ValueError)


def test_a_sentence_of_ours_goes_first():
    def raises():
        try:
            raise MemoryError
        except MemoryError as error:
            raise RawconvError("The batch is too large.") from error

    assert failing(raises).stderr == "Error: The batch is too large.\n"
