"""For the tests of the experiments: a Subject of a small net and random pictures, and a run that is
interrupted.
"""

import json
import pathlib

import numpy as np
from test_deconvnet import image
from test_visualize_cli import small_net

from rawconv.data import DataSet, Split
from rawconv.experiments.study import begin
from rawconv.experiments.subject import Subject
from rawconv.machine.arrays import Device


def data_of(count, name="random"):
    """`count` random pictures of 26x26 pixels in two classes, the same for training and validation."""
    pictures = np.stack([image(seed=k) for k in range(count)])
    split = Split(
        pictures.__getitem__,
        np.arange(count) % 2,
        [f"picture {k}" for k in range(count)],
        (26, 26, 3),
    )
    return DataSet(name, "nowhere", ["cat", "sea dog"], split, split)


def subject_of(net=None, data=None, weights="w.h5", device=None):
    device = device or Device()
    return Subject(
        (net or small_net()).to(device), {}, pathlib.Path(weights), data or data_of(12), device
    )


def finished(run, subject, folder, name="it", **options):
    """What the JSON file of a run holds; the run itself as run(subject, study, **options)."""
    study = begin(name, options, folder, name)
    study.finish(run(subject, study, **options))
    return json.loads((study.folder / f"{name}.json").read_text())


def interrupted_and_finished(run, subject, folder, monkeypatch, after=2, name="it", **options):
    """The same of a run that is interrupted after so many steps and started again; it computes no
    step twice.
    """
    import rawconv.experiments.study as module

    counted, replace = [], module.replace_file

    def failing(path, data):
        if str(path).endswith(".npz"):
            if len(counted) == after:
                raise KeyboardInterrupt
            counted.append(path)
        replace(path, data)

    monkeypatch.setattr(module, "replace_file", failing)
    study = begin(name, options, folder, name)
    try:
        run(subject, study, **options)
        raise AssertionError(f"it has no more than {after} steps")
    except KeyboardInterrupt:
        pass
    monkeypatch.setattr(module, "replace_file", replace)
    again = begin(name, options, folder, name)
    assert again.folder == study.folder and all(path.exists() for path in counted)
    times = [path.stat().st_mtime_ns for path in counted]
    result = run(subject, again, **options)
    assert [path.stat().st_mtime_ns for path in counted] == times
    again.finish(result)
    return json.loads((again.folder / f"{name}.json").read_text())


def same_if_interrupted(run, subject, folder, monkeypatch, name="it", **options):
    """A run that was interrupted and finished leaves the files of one that was not, byte for byte."""
    whole = finished(run, subject, folder / "whole", name, **options)
    assert (
        interrupted_and_finished(run, subject, folder / "halves", monkeypatch, name=name, **options)
        == whole
    )
    for kind in ("png", "csv"):
        one, other = (
            folder / part / f"{name}-1" / f"{name}.{kind}" for part in ("whole", "halves")
        )
        assert one.read_bytes() == other.read_bytes()
