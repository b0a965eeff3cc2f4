"""Which device is taken, and what is said of it."""

import pytest

from rawconv.errors import RawconvError, UsageError
from rawconv.machine import arrays
from rawconv.machine.arrays import choose_device


def test_auto_says_in_one_line_why_it_takes_the_cpu(monkeypatch):
    monkeypatch.setattr(arrays, "_gpu_trouble", lambda index: f"GPU {index} is not there")
    said = []
    assert str(choose_device("auto", said.append)) == "cpu" and said == [
        "Using the CPU: GPU 0 is not there."
    ]
    assert str(choose_device("cpu", said.append)) == "cpu" and len(said) == 1
    with pytest.raises(
        RawconvError,
        match=r"^--device gpu:2 cannot be used: GPU 2 is not there\. Install the wheel",
    ):
        choose_device("gpu:2")


def test_auto_names_the_wheel_where_a_card_is_and_is_silent_where_none_is(monkeypatch, tmp_path):
    monkeypatch.setattr(arrays, "_gpu_trouble", lambda index: arrays.NO_CUPY)
    card, said = tmp_path / "nvidia0", []
    monkeypatch.setattr(arrays, "CARDS", (str(card),))
    assert str(choose_device("auto", said.append)) == "cpu" and not said
    card.touch()
    assert str(choose_device("auto", said.append)) == "cpu"
    (line,) = said
    assert line.startswith("Using the CPU: there is a GPU, but CuPy is not installed; pip install")
    with pytest.raises(RawconvError, match="CuPy is not installed"):
        choose_device("gpu")


def test_auto_is_silent_where_there_is_a_gpu(monkeypatch):
    monkeypatch.setattr(arrays, "_gpu_trouble", lambda index: None)
    said = []
    assert (
        choose_device("auto", said.append).index == 0
        and choose_device("gpu:3").index == 3
        and not said
    )


@pytest.mark.parametrize("name", ["", "cuda", "gpu:", "gpu:-1", "gpu:1:2"])
def test_other_names_are_usage_errors(name):
    with pytest.raises(UsageError, match="is not a device"):
        choose_device(name)
