"""Ctrl-C and kills at every line of what goes on later: nothing is counted twice, nothing that was
done is lost.
"""

import contextlib
import json
import shutil
import sys

import numpy as np
import pytest
from laws import assert_same
from pets import pack_photos
from subjects import subject_of
from test_top_activations import assert_same_units, integer_net, split_of

from rawconv.data import packing
from rawconv.errors import UsageError
from rawconv.experiments import features, study
from rawconv.experiments.study import UNFINISHED, WHOLE, Result, begin
from rawconv.visualize import earlier_scans, top_activations

OPTIONS = {"square": 12}


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """What would be lost with the power is not the question here."""
    monkeypatch.setattr("os.fsync", lambda file: None)


class Killed(BaseException):
    """Nobody catches it to save something, as nobody can in a killed process."""


def die(*arguments, **how):
    raise Killed


@contextlib.contextmanager
def at_line(count, functions, error=KeyboardInterrupt):
    """`error` before the count-th line that is executed in one of these functions or those inside them.

    Yields a list: empty until it was raised.
    """
    codes, raised, left = set(), [], [count]

    def collect(code):
        codes.add(code)
        for part in code.co_consts:
            if hasattr(part, "co_code"):
                collect(part)

    for function in functions:
        collect(function.__code__)

    def line(frame, event, argument):
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                raised.append(frame.f_lineno)
                raise error
        return line

    sys.settrace(lambda frame, event, argument: line if frame.f_code in codes else None)
    try:
        with contextlib.suppress(error):
            yield raised
    finally:
        sys.settrace(None)


def every_line(functions, attempt, error=KeyboardInterrupt, step=1):
    """`error` before line 1, 1 + step, ... in turn, until one try comes to its end; how many lines
    there were.

    attempt: number -> (what is interrupted, what is checked afterwards), both without arguments.
    """
    for count in range(1, 1000, step):
        interrupted, check = attempt(count)
        with at_line(count, functions, error) as raised:
            interrupted()
        check()
        if not raised:
            return count - 1
    raise AssertionError("it never ended")


@pytest.fixture
def some(request):
    """Of many lines that cost time, every some-th is tried; all with --long."""
    return (lambda step: 1) if request.config.getoption("--long") else (lambda step: step)


# The scan


@pytest.mark.parametrize("seconds", [0, 1e9])
def test_a_scan_interrupted_at_any_line_goes_on_with_no_image_twice(
    tmp_path, monkeypatch, some, seconds
):
    """seconds: between two records, so that they are written after every batch, or at the
    interruption alone.
    """
    net, split = integer_net(), split_of(24)
    whole, _ = earlier_scans.scan_once(
        net, "data", split, ["conv1"], 5, folder(tmp_path, "whole/out"), progress=False
    )
    monkeypatch.setattr(top_activations, "KEEP_SECONDS", seconds)

    def attempt(count):
        def scan():
            here = folder(tmp_path, f"{count}/out")
            found.append(
                earlier_scans.scan_once(
                    net, "data", split, ["conv1"], 5, here, progress=False, batch=8
                )[0]
            )

        def check():
            scan()
            assert_same_units(found[-1]["relu1"], whole["relu1"])

        found = []
        return scan, check

    functions = [
        top_activations.scan, top_activations._scan_rest, earlier_scans._scan_once, earlier_scans._recorded,
        earlier_scans._scan_or_resume,
    ]  # fmt: skip
    assert every_line(functions, attempt, step=some(1 if seconds else 5)) > 50


def folder(root, name):
    (root / name).mkdir(parents=True, exist_ok=True)
    return root / name


def test_the_record_of_a_scan_survives_another_at_the_same_place(tmp_path, monkeypatch):
    """A record was written after a batch, and Ctrl-C came in the next: the second record has the
    first one's name.
    """
    net, split, scan_batch, seen = integer_net(), split_of(24), top_activations.scan_batch, []

    def stopping(*arguments):
        if len(seen) == 1:
            raise KeyboardInterrupt
        seen.append(1)
        return scan_batch(*arguments)

    monkeypatch.setattr(top_activations, "KEEP_SECONDS", 0)
    monkeypatch.setattr(top_activations, "scan_batch", stopping)
    with pytest.raises(KeyboardInterrupt):
        earlier_scans.scan_once(
            net, "data", split, ["conv1"], 5, folder(tmp_path, "out"), progress=False, batch=8
        )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scan-8.hdf5"]


def test_what_a_scan_found_is_kept_before_its_record_is_removed(tmp_path, monkeypatch):
    net, split, save = integer_net(), split_of(24), earlier_scans.save

    def dies(path, *arguments):
        if path.name == "topk.hdf5":
            raise Killed
        save(path, *arguments)

    monkeypatch.setattr(top_activations, "KEEP_SECONDS", 0)
    monkeypatch.setattr(earlier_scans, "save", dies)
    with pytest.raises(Killed):
        earlier_scans.scan_once(
            net, "data", split, ["conv1"], 5, folder(tmp_path, "out"), progress=False, batch=8
        )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scan-24.hdf5"]


def test_the_record_of_a_scan_under_way_is_left_to_it(tmp_path, monkeypatch):
    """Another scan of the same net and pictures, in a folder beside it, neither takes nor removes it."""
    net, split, scan_batch, said = integer_net(), split_of(24), top_activations.scan_batch, []
    monkeypatch.setattr(top_activations, "KEEP_SECONDS", 0)
    for name in ("one", "two"):
        folder(tmp_path, name)

    def beside(net, pictures, ids, *more):
        if ids[0] == 8:
            monkeypatch.setattr(top_activations, "scan_batch", scan_batch)
            monkeypatch.setattr(earlier_scans, "holder", lambda path: path.name == "one")
            earlier_scans.scan_once(
                net, "data", split, ["conv1"], 5, tmp_path / "two", False, 8, said.append
            )
            assert (tmp_path / "one" / "scan-8.hdf5").exists() and not said
        return scan_batch(net, pictures, ids, *more)

    monkeypatch.setattr(top_activations, "scan_batch", beside)
    earlier_scans.scan_once(net, "data", split, ["conv1"], 5, tmp_path / "one", False, 8)
    assert (tmp_path / "two" / "topk.hdf5").exists()


# Packing and features


@pytest.mark.parametrize("error", [KeyboardInterrupt, Killed])
def test_a_packing_ended_at_any_line_goes_on_to_the_same_bytes(tmp_path, monkeypatch, some, error):
    source, out, _ = pack_photos(tmp_path / "made")
    monkeypatch.setattr(packing, "SYNC", 0)

    def attempt(count):
        def pack():
            packing.pack(
                source,
                folder(tmp_path, f"{count}") / "pets.h5",
                16,
                progress=False,
                say=lambda line: None,
            )

        def check():
            if not (tmp_path / f"{count}" / "pets.h5").exists():
                pack()
            assert (tmp_path / f"{count}" / "pets.h5").read_bytes() == out.read_bytes()
            shutil.rmtree(tmp_path / f"{count}")

        return pack, check

    functions = [
        packing._Work.fill,
        packing._Work._save,
        packing._Work._resume,
        packing._Work.__init__,
    ]
    every_line([*functions, packing._Work.finish, packing._work_off], attempt, error, some(23))


def test_the_note_of_a_finished_packing_is_not_believed_of_a_new_one(tmp_path, monkeypatch):
    """Killed between the file's name and the note's end; again with --force, and killed before the
    first note.
    """
    source, out, _ = pack_photos(tmp_path / "made")
    target, unlink = folder(tmp_path, "new") / "pets.h5", packing.Path.unlink
    with monkeypatch.context() as patch:
        patch.setattr(packing, "sync_folder", die)
        patch.setattr(
            packing.Path,
            "unlink",
            lambda path, **how: None if target.exists() else unlink(path, **how),
        )
        with pytest.raises(Killed):
            packing.pack(source, target, 16, progress=False)
    assert target.exists() and (tmp_path / "new" / "pets.h5.partial.npz").exists()
    with monkeypatch.context() as patch:
        patch.setattr(packing._Work, "fill", die)
        with pytest.raises(Killed):
            packing.pack(source, target, 16, progress=False, force=True)
    assert not (tmp_path / "new" / "pets.h5.partial.npz").exists()
    packing.pack(source, target, 16, progress=False, force=True)
    assert target.read_bytes() == out.read_bytes()


@pytest.mark.parametrize("error", [KeyboardInterrupt, Killed])
def test_features_ended_at_any_line_go_on_to_the_same_rows(tmp_path, monkeypatch, some, error):
    subject = subject_of()
    features.write(subject, 1, "val", tmp_path / "whole.h5", 4, False)
    want = features.read(tmp_path / "whole.h5")[0]
    monkeypatch.setattr(features, "KEEP_SECONDS", 0)

    def attempt(count):
        file = tmp_path / f"{count}.h5"

        def write():
            features.write(subject, 1, "val", file, 4, False)

        def check():
            write()
            assert_same(features.read(file)[0], want)
            assert not list(tmp_path.glob(f".{count}.h5*"))

        return write, check

    every_line(
        [features._write, features._fill, features._begin, features._noted], attempt, error, some(9)
    )


def test_the_note_of_finished_features_is_not_believed_of_a_new_file(tmp_path, monkeypatch):
    """Killed before the note was removed, written again, and killed before a row was: those are no
    features.
    """
    subject, file = subject_of(), tmp_path / "f.h5"
    features.write(subject, 1, "val", file, 4, False)
    want, note = features.read(file)[0], tmp_path / ".f.h5.json"
    about = features.write(subject, 1, "val", file, 4, False)
    about.pop("pictures")
    note.write_text(f"{features.json_text(about)}\n{len(want)}")
    with monkeypatch.context() as patch:
        patch.setattr(features, "_fill", die)
        with pytest.raises(Killed):
            features.write(subject, 1, "val", file, 4, False)
    features.write(subject, 1, "val", file, 4, False)
    assert_same(features.read(file)[0], want)


# Experiments


def toy(where, calls, name="toy", root=None):
    """A whole experiment of three steps; its results."""
    begun = begin(name, OPTIONS, root or where.parent, "toy", None if root else where)
    if begun.known:
        return begun.finish(None)

    def compute(key):
        calls.append(key)
        (begun.place(key) / "net").write_text(key)
        return {"square": np.array(len(key) ** 2)}

    found = begun.each(["a", "bb", "ccc"], compute)
    numbers = {"squares": [int(step["square"]) for step in found]}
    return begun.finish(Result(numbers, [{"n": 1}], b"PNG", ["A sentence."]))


FUNCTIONS = [
    begin,
    study.Study.__init__,
    study.Study.each,
    study.Study._round,
    study.Study._keep,
    study.Study.finish,
    study._same,
    study._is_blank,
    toy,
]


@pytest.mark.parametrize("error", [KeyboardInterrupt, Killed])
@pytest.mark.parametrize("named", [True, False])
def test_an_experiment_ended_at_any_line_is_gone_on_with_by_the_same_command(
    tmp_path, some, error, named
):
    """With --out and without; it is never said to exist, no step is computed three times, and
    nothing else is left.
    """

    def attempt(count):
        calls, root = [], folder(tmp_path, f"{count}")
        where = root / "out"

        def run():
            results.append(toy(where, calls, root=None if named else root))

        def check():
            done = [path for path in root.glob("*/toy.json") if not (path.parent / WHOLE).exists()]
            if done and not (done[0].parent / UNFINISHED).exists():
                # it was complete, all but saying so
                results.append(json.loads(done[0].read_text()))
            if not results:
                run()
            assert (
                results[-1]["numbers"] == {"squares": [1, 4, 9]}
                and max(map(calls.count, calls)) <= 2
            )
            (done,) = root.iterdir()
            # it goes with the process
            names = sorted({path.name for path in done.iterdir()} - {".lock"})
            assert names == ["toy.csv", "toy.json", "toy.png"], names
            assert json.loads((done / "toy.json").read_text())["numbers"] == {"squares": [1, 4, 9]}

        results = []
        return run, check

    assert every_line(FUNCTIONS, attempt, error, some(3)) > 60


def test_an_experiment_killed_while_its_steps_are_removed_computes_nothing_again(
    tmp_path, monkeypatch
):
    calls = []

    def half(path, **_):
        if path.name == WHOLE and path.exists():
            next(path.glob("*.npz")).unlink()
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(study.shutil, "rmtree", half)
        with pytest.raises(Killed):
            toy(tmp_path / "out", calls)
    calls.clear()
    assert toy(tmp_path / "out", calls)["numbers"] == {"squares": [1, 4, 9]} and not calls
    with pytest.raises(UsageError, match="exists"):
        toy(tmp_path / "out", calls)


def test_force_forgets_what_was_whole(tmp_path):
    """Its own marks of an end are not taken for those of the new run."""
    toy(tmp_path / "out", [])
    (tmp_path / "out" / WHOLE).mkdir()
    begun = begin("toy", OPTIONS | {"square": 1}, tmp_path, "toy", tmp_path / "out", force=True)
    assert begun.known is None and begun.steps.is_dir()
    shutil.rmtree(begun.steps)
    begin("toy", OPTIONS, tmp_path, "toy", tmp_path / "out", force=True)
    assert not (tmp_path / "out" / WHOLE).exists() and (tmp_path / "out" / UNFINISHED).is_dir()
