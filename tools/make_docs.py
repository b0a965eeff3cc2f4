"""Fill the measured numbers into README and docs, from docs/numbers/*.json, and measure them again.

python tools/make_docs.py                        writes every page anew from the numbers that are kept
python tools/make_docs.py --measure controls     runs the commands of docs/numbers/controls.json first, and keeps what
                                                 they find;  controls:photos  one of them;  --at FOLDER  where they run

A file of numbers holds {part: {"command": "rawconv-experiment ... --json", "made": {...}, "numbers": {...}}}, where
"before" may list commands to run first, and "keep" the numbers that a page speaks of.  A command may also be "python
tools/... --json".  "made" says on what day and by which AUTO_VERSION they were found; measuring writes it.
A file called NAME-tried.json is a history, kept by hand: {"date", "command", "numbers"} of what was tried once.
On a page, a paragraph or a table with measured numbers stands below its template, in which {controls[photos][units]}
is one of them:

    <!-- numbers
    Over {controls[photos][units]} units it is {controls[photos][variants][guided][cosine][mean]:.2f}.
    -->
    Over 64 units it is 0.37.
"""

import datetime
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap

import click

from rawconv.experiments import intervals
from rawconv.layers.cpu import AUTO_VERSION

ROOT = pathlib.Path(__file__).parent.parent
NUMBERS = ROOT / "docs/numbers"
TEMPLATE = re.compile(r"(?<=<!-- numbers\n)(.*?)(\n-->\n)(.+?)(?=\n\n|\n?\Z)", re.DOTALL)
WIDTH = 120  # columns of a paragraph
DIGITS = 6  # that are kept of a number
BEGUN = "begun.json"  # in the folder of --at
AS_IT_IS = ("|", "- ", "* ", "#", "!", ">")  # a block that begins so keeps its lines


class Interval(dict):
    """{"mean", "low", "high", ...}, which a template's {..:.2f} writes as "0.29 (0.28 to 0.30)"."""

    def __format__(self, spec):
        return intervals.text(self, spec)


def interval(value):
    """The dict as an Interval where it is one."""
    return Interval(value) if {"mean", "low", "high"} <= value.keys() else value


def numbers():
    """{file: {part: its numbers}} of docs/numbers, what templates speak of."""
    files = {
        path.stem: json.loads(path.read_text(), object_hook=interval)
        for path in sorted(NUMBERS.glob("*.json"))
    }
    return {
        file: {part: measured["numbers"] for part, measured in parts.items()}
        for file, parts in files.items()
    }


def render(text, known):
    """The text of a page, each of its templates filled from the numbers `known`."""

    def filled(found):
        template, between, _ = found.groups()
        try:
            block = template.format_map(known)
        except (LookupError, TypeError, ValueError) as error:
            raise click.ClickException(
                f"{error!r}: the numbers of a template are not kept:\n{template}"
            ) from error
        if not block.startswith(AS_IT_IS):
            block = textwrap.fill(block, WIDTH, break_long_words=False, break_on_hyphens=False)
        return f"{template}{between}{block}"

    return TEMPLATE.sub(filled, text)


def pages():
    """README and the pages of docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def measure(name, at):
    """Run the commands of docs/numbers/`name`.json, or of one part, file:part, and keep their numbers."""
    file, _, only = name.partition(":")
    path = NUMBERS / f"{file}.json"
    if not path.exists():
        raise click.ClickException(f"There is no {path}; write it with the commands to run.")
    if file.endswith("-tried"):
        raise click.ClickException(f"{path} is a history, kept by hand; nothing measures it anew.")
    parts = json.loads(path.read_text())
    if only and only not in parts:
        raise click.ClickException(f"{path} has no part {only!r}; it has {', '.join(parts)}.")
    for part in [only] if only else parts:
        for command in parts[part].get("before", []):
            prepare(command, at)
        found = run(parts[part]["command"], at)
        kept = {key: found[key] for key in parts[part].get("keep", found)}
        for key in ("made", "numbers"):  # both anew, and behind the commands
            parts[part].pop(key, None)
        parts[part] |= {"made": made(), "numbers": rounded(kept)}
        path.write_text(json.dumps(parts, indent=1, ensure_ascii=False) + "\n")


def made():
    """{"date": today, "auto": the version of the choice of algorithms, by which trained nets differ}."""
    return {"date": datetime.date.today().isoformat(), "auto": AUTO_VERSION}


def prepare(command, at):
    """Run a command of "before", unless it ended in the folder `at` before; go on with an interrupted training.

    BEGUN there keeps {command: [the version of auto's choice, whether it ended]}: what another version
    began is not gone on with.
    """
    path = pathlib.Path(at, BEGUN)
    begun = json.loads(path.read_text()) if path.exists() else {}
    before = begun.get(command)
    if before == [AUTO_VERSION, True]:
        return
    path.write_text(json.dumps(begun | {command: [AUTO_VERSION, False]}, indent=1))
    run(resumed(command, at) if before == [AUTO_VERSION, False] else command, at)
    path.write_text(json.dumps(begun | {command: [AUTO_VERSION, True]}, indent=1))


def resumed(command, at):
    """The command that goes on with that of a training; the command itself where there is nothing to go on with."""
    name, *arguments = shlex.split(command)
    folder = arguments[arguments.index("--out") + 1] if "--out" in arguments else ""
    begun = name == "rawconv-train" and folder and pathlib.Path(at, folder, "last.h5").exists()
    return f"rawconv-train --resume {shlex.quote(folder)}" if begun else command


def run(command, at):
    """What a command of rawconv or a tool finds, by its --json: an experiment's numbers, of any
    other all of it, {} without that option.
    """
    name, *arguments = shlex.split(os.path.expandvars(command))
    if name == "python":
        line = [sys.executable, ROOT / arguments[0], *arguments[1:]]
    else:
        line = [sys.executable, "-m", "rawconv", name.removeprefix("rawconv-"), *arguments]
    for shipped in ("weights/photos.h5", "rawconv/scenes.h5"):
        link = pathlib.Path(at, shipped)
        if not link.exists():
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(ROOT / shipped)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, cwd=at, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise click.ClickException(f"It ends with exit code {done.returncode}: {command}")
    if "--json" not in arguments:
        return {}
    found = json.loads(done.stdout.splitlines()[-1])
    return found.get("numbers", found)


def rounded(value):
    """Numbers in JSON's types, floats with `DIGITS` digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


@click.command()
@click.option(
    "--measure", "names", multiple=True, metavar="FILE[:PART]", help="Numbers to measure anew."
)
@click.option(
    "--at",
    type=click.Path(file_okay=False),
    help="Folder that the commands run in, where an interrupted one goes on.  [a new one]",
)
def main(names, at):
    """Fill the measured numbers into README and docs."""
    with tempfile.TemporaryDirectory() as new:
        pathlib.Path(at or new).mkdir(parents=True, exist_ok=True)
        for name in names:
            measure(name, at or new)
    known = numbers()
    for path in pages():
        text = path.read_text()
        filled = render(text, known)
        if filled != text:
            path.write_text(filled)
            click.echo(path)


if __name__ == "__main__":
    main()
