"""Break the package in small ways and see whether the tests notice.

    python tools/break_code.py --seed 1 --count 60          60 breaks; again: goes on where it was, tries survivors anew
    python tools/break_code.py --seed 1 --count 60 --dry    which those are
    python tools/break_code.py --count 20 --only rawconv/data      breaks of some files alone

A sign or comparison exchanged, a constant changed, arguments or a pair swapped, a branch, call or
keyword dropped, a `not` or minus removed, a slice one longer, min for max: each kind equally often,
drawn by a hash of the break and the seed, so that the sample stays as it is where files do.  One
break at a time is made in a copy of the tree, never in the checkout, and the tests that import the
broken file run, the nearest first, until one fails or the time is over.  What a test says counts
only if it passes as it is.  A break at which a test hangs, one that otherwise takes less than 20 s,
is noticed as well.

Exit code 0: no survivor, or harmless ones alone (break_harmless.py says which and why).  1:
survivors, listed.

Its limits.  Only the 12 nearest files of tests have a say, and only until the time is over, on a
busy machine sooner: give --seconds.  Without compiled loops (rawconv/__pycache__/*.nbc, made by any
test) the first tests compile them. Which tests import a file is read from the syntax trees, so a
test that reaches it in another way is not run.  Nothing is broken in text, f-strings, type hints,
kernels (.cu) and the page's scripts, nor beside `rmtree`, which might delete what is yours.  What
only a GPU, several processes or tests marked long would notice survives.  That all breaks of a
sample are noticed says that most of the others would be, not that the code is right.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import click
from break_harmless import reason
from code_breaks import apply, sample
from import_map import PACKAGE, importers, module_of, nearest
from tqdm import tqdm

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEFT_OUT = (
    ".git",
    "runs",
    "build",
    ".venv*",
    ".hypothesis",
    ".ruff_cache",
    ".pytest_cache",
    "*.egg-info",
)
FILES = 12  # of tests for one break, the nearest
TRIES = 3  # of one break, where tests fail as they are
OVER = "its time was over"
HANGS = 20  # seconds that no test takes
MEMORY = 8 << 30  # of a process of the tests: a break may ask for everything
UNBROKEN = 600  # seconds for a test as it is; the first compiles the loops


class Tree:
    """A copy of the checkout in `folder`, with its compiled loops, where one file at a time is broken."""

    def __init__(self, root, folder, seconds=None):
        self.root, self.folder = pathlib.Path(folder, "tree"), pathlib.Path(folder)
        shutil.copytree(root, self.root, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
        # of tests as they are; their times
        self.fails, self.passes, self.seconds = set(), set(), seconds or {}

    def try_break(self, one, seconds):
        """(what became of it, what noticed): "noticed", "hangs" or "survived"."""
        path, name = self.root / one.path, one.scope.rpartition(".")[2]
        files = nearest(self.root, one.path, name)[:FILES]
        if not files:
            return "survived", "no test imports it"
        for _ in range(TRIES):
            with _Broken(self, path, apply(path.read_text(), one), one.path):
                end, test = self._pytest(files, seconds, name)
                if end == "hangs" and self._pytest([test], seconds, name)[0] == "survived":
                    continue  # it only waited for its loops to be compiled
            if end == "survived" or self.sound(test, end):
                return end, test
            self.fails.add(test)  # from now on it is left out
        return "survived", ""

    def sound(self, test, end):
        """Whether a test passes as it is, and soon enough to say of another that it hangs."""
        if test not in self.passes:
            began = time.monotonic()
            events = self._run([test], UNBROKEN)
            if any("failed" in event for event in events):
                return False
            self.passes.add(test)
            self.seconds.setdefault(test, time.monotonic() - began)
        return end == "noticed" or self.seconds.get(test, 0) < HANGS

    def _pytest(self, files, seconds, name):
        """What the first failure says, if there is one in so many seconds."""
        began = time.monotonic()
        events = self._run(["-x", *files], seconds, name)
        if failed := next((event["failed"] for event in events if "failed" in event), None):
            return "noticed", failed
        starts = {event["began"]: event["at"] for event in events if "began" in event}
        self.seconds |= {
            event["ended"]: event["at"] - starts[event["ended"]]
            for event in events
            if "ended" in event
        }
        last = events[-1] if events else {}
        over = time.monotonic() - began >= seconds
        if over and "began" in last and time.time() - last["at"] > HANGS:
            return "hangs", last["began"]
        return "survived", OVER if over else ""

    def _run(self, words, seconds, name=""):
        """The events that break_watch told of one run of pytest."""
        watch, about = self.folder / "events", self.folder / "about"
        watch.write_text("")
        about.write_text(
            json.dumps({"name": name, "fails": sorted(self.fails), "seconds": self.seconds})
        )
        environment = os.environ | {
            "PYTHONPATH": f"{self.root}{os.pathsep}{pathlib.Path(__file__).resolve().parent}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "BREAK_WATCH": str(watch),
            "BREAK_ABOUT": str(about),
        }
        plain = [
            "-q",
            "-p",
            "break_watch",
            "-p",
            "no:cacheprovider",
            "--basetemp",
            str(self.folder / "tests"),
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *plain, *words], cwd=self.root, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=_limit,
        )  # fmt: skip
        over = False
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            over = True
        finally:
            _end(process)
        events = [json.loads(line) for line in watch.read_text().splitlines()]
        if (
            not over
            and process.returncode not in (0, 1, 5)
            and not any("failed" in event for event in events)
        ):
            # pytest itself could not go on: a crash, or a conftest that does not import
            last = [event["began"] for event in events if "began" in event][-1:] or [
                f"pytest: {said[-200:]!r}"
            ]
            events.append({"failed": last[0]})
        return events


class _Broken:
    """One file broken; on leaving, it and the compiled loops of all that imports it are as they were.

    A loop is kept by the text of its own file, so loops of other files that have this one inside
    would stay old.
    """

    def __init__(self, tree, path, text, name):
        self.tree, self.path, self.text, self.kept = tree, path, text, tree.folder / "kept"
        has_loops = any(word in path.read_text() for word in ("@loop", "intrinsic"))
        self.loops = (
            [module_of(tree.root, file) for file in importers(tree.root, name)] if has_loops else []
        )
        self.sound, self.stat = path.read_bytes(), path.stat()

    def _compiled(self):
        return [
            one
            for name in self.loops
            for one in (self.tree.root / PACKAGE / "__pycache__").glob(f"{name}.*.nbc")
        ]

    def __enter__(self):
        self.kept.mkdir()
        self.moved = [
            (one, self.kept / str(number))
            for number, one in enumerate(dict.fromkeys(self._compiled()))
        ]
        for one, place in self.moved:
            shutil.move(one, place)
        for one in (self.path.parent / "__pycache__").glob(f"{self.path.stem}.*.pyc"):
            one.unlink()
        self.path.write_text(self.text)

    def __exit__(self, *_):
        self.path.write_bytes(self.sound)
        os.utime(self.path, ns=(self.stat.st_atime_ns, self.stat.st_mtime_ns))
        for one in set(self._compiled()):
            one.unlink()
        for one, place in self.moved:
            shutil.move(place, one)
        self.kept.rmdir()


def _limit():
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def _end(process):
    """End the run and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def digest(root, *patterns):
    """Of the text of these files."""
    found = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in pathlib.Path(root).glob(pattern)):
        found.update(path.read_bytes())
    return found.hexdigest()


def sources(root, only):
    """{path: text} of the package's modules that begin with one of `only`."""
    paths = sorted(path.relative_to(root).as_posix() for path in root.glob(f"{PACKAGE}/**/*.py"))
    return {
        path: (root / path).read_text()
        for path in paths
        if not only or path.startswith(tuple(only))
    }


def read(record):
    """{"breaks": {key: what became of it}, "seconds": {test: its time}} of earlier runs."""
    try:
        return json.loads(record.read_text())
    except (OSError, ValueError):
        return {"breaks": {}, "seconds": {}}


def write(record, kept):
    record.parent.mkdir(parents=True, exist_ok=True)
    half = record.with_suffix(".half")
    half.write_text(json.dumps(kept, indent=1))
    half.replace(record)


def known(kept, root, texts, chosen):
    """{key: what became of it} of the breaks that need not be tried again.

    What was noticed stays so while its file does; a survivor is tried again when any test has
    changed, or its time was over.
    """
    tests = digest(root, "tests/*.py")
    files = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in texts.items()}
    return {
        one.key: found
        for one in chosen
        if (found := kept.get(one.key)) and found["file"] == files[one.path]
        and (found["end"] != "survived" or (found["tests"] == tests and found["test"] != OVER))
    }  # fmt: skip


def report(chosen, found, say=click.echo):
    """List what survived, harmless ones apart; returns how many are not harmless."""
    survived = [one for one in chosen if found[one.key]["end"] == "survived"]
    harmless = {one: why for one in survived if (why := reason(one))}
    worse = [one for one in survived if one not in harmless]
    say(
        f"{len(chosen)} breaks: {len(chosen) - len(survived)} noticed, {len(worse)} survived, {len(harmless)} harmless"
    )
    for one in worse:
        say(
            f"  survived  {one}"
            + (f"  ({found[one.key]['test']})" if found[one.key]["test"] else "")
        )
    for one, why in harmless.items():
        say(f"  harmless  {one}  ({why})")
    return len(worse)


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="Of the sample.")
@click.option(
    "--count", type=click.IntRange(1), default=60, show_default=True, help="Breaks in the sample."
)
@click.option(
    "--seconds",
    type=click.IntRange(5),
    default=40,
    show_default=True,
    help="For the tests of each break.",
)
@click.option("--only", multiple=True, help="Break files that begin so alone, e.g. rawconv/data.")
@click.option("--dry", is_flag=True, help="List the sample and what is known of it; run nothing.")
@click.option(
    "--root",
    type=click.Path(path_type=pathlib.Path, exists=True),
    default=ROOT,
    help="The checkout.",
)
@click.option(
    "--record",
    type=click.Path(path_type=pathlib.Path),
    help="What was found.  [runs/break_code.json]",
)
def main(seed, count, seconds, only, dry, root, record):
    """Break, test, mend, list."""
    record, texts = record or root / "runs" / "break_code.json", sources(root, only)
    kept, chosen = read(record), sample(texts, seed, count)
    found = known(kept["breaks"], root, texts, chosen)
    if dry:
        for one in chosen:
            click.echo(f"{found.get(one.key, {}).get('end', 'not tried'):10}{one}")
        return
    if todo := [one for one in chosen if one.key not in found]:
        with tempfile.TemporaryDirectory(prefix="break-code-") as folder:
            _try_all(Tree(root, folder, kept["seconds"]), todo, seconds, record, kept)
    sys.exit(report(chosen, found | kept["breaks"]) > 0)


def _try_all(tree, todo, seconds, record, kept):
    """Try these breaks and keep what became of each as soon as it is known."""
    tests = digest(tree.root, "tests/*.py")
    for one in tqdm(todo, unit=" breaks"):
        text = (tree.root / one.path).read_bytes()
        end, test = tree.try_break(one, seconds)
        kept["breaks"][one.key] = {
            "end": end, "test": test, "file": hashlib.sha256(text).hexdigest(), "tests": tests
        }  # fmt: skip
        kept["seconds"] = tree.seconds
        write(record, kept)
        tqdm.write(f"{end:10}{one}" + (f"  ({test})" if test else ""))
    if tree.fails:
        click.echo(f"Left out, failing as they are: {', '.join(sorted(tree.fails))}", err=True)


if __name__ == "__main__":
    main()
