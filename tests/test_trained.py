"""The nets that experiments train and keep: which one is found again."""

import pytest

from rawconv.errors import UsageError
from rawconv.experiments.trained import place, trained
from rawconv.machine.arrays import Device


def test_a_net_trained_without_tf32_is_not_taken_for_one_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 24)
    made = "lenet", "scenes:24", {"epochs": 1, "batch": 8}
    file = trained(*made, device=Device(), say=lambda line: None)
    assert file.parent == place(*made)
    with pytest.raises(UsageError, match="leave --no-train out"):
        trained(*made, device=Device(tf32=True), allow=False)
    assert place(*made, tf32=True) != place(*made, 1, tf32=True) != place(*made, 1)
