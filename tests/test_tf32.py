"""TF32: where it is refused, that it reaches every product of a net and no other, and that it is kept."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from rawconv import checkpoint, models
from rawconv.cli.experiments import main as experiments
from rawconv.cli.train import main as train
from rawconv.cli.visualize import main as visualize
from rawconv.errors import UsageError
from rawconv.layers.gpu.product import product
from rawconv.machine import arrays
from rawconv.machine.arrays import Device
from rawconv.training import runs
from rawconv.training.loop import options

sys.path.append(str(Path(__file__).parent.parent / "tools"))
import tf32_error


@pytest.mark.parametrize(
    ("command", "words"), [(train, []), (visualize, ["--layer", "4"]), (experiments, ["filters"])]
)
def test_it_is_refused_on_a_cpu(command, words):
    found = CliRunner().invoke(command, [*words, "--device", "cpu", "--tf32"])
    assert found.exit_code == 2
    assert found.stderr.splitlines()[-1] == (
        "Error: --tf32 cannot be used: this computes on the CPU; --device gpu names a GPU."
    )


def card(is_hip, capability):
    """What choose_device asks of CuPy."""
    runtime = SimpleNamespace(is_hip=is_hip, getDeviceCount=lambda: 1, CUDARuntimeError=OSError)
    cuda = SimpleNamespace(
        runtime=runtime, Device=lambda index: SimpleNamespace(compute_capability=capability)
    )
    return SimpleNamespace(cuda=cuda)


@pytest.mark.parametrize(
    ("is_hip", "capability", "trouble"),
    [(True, "90", "CuPy for ROCm has no TF32"), (False, "75", "capability 8.0, and gpu:0 has 7.5")],
)
def test_cards_without_it_are_refused(is_hip, capability, trouble, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", card(is_hip, capability))
    with pytest.raises(UsageError, match=trouble):
        arrays.choose_device("gpu", tf32=True)


def test_a_card_that_has_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", card(False, "120"))
    said = []
    device = arrays.choose_device("gpu", said.append, tf32=True)
    assert device.tf32 and str(device) == "gpu:0, TF32"
    assert said == ["Products on gpu:0 are in TF32: factors of 10 mantissa bits, sums in float32."]
    assert not arrays.choose_device("gpu", said.append).tf32 and len(said) == 1


def test_a_run_keeps_it(tmp_path):
    """Its checkpoint says so, resuming repeats it, and a CPU has none of it."""
    begun = runs.start("lenet", "scenes:40", changes={"epochs": 1, "batch": 20})
    net = begun.net
    assert "tf32" not in options(net)
    net.execution = net.execution._replace(tf32=True)
    info = {
        "data": "scenes:40",
        "recipe": begun.recipe.to_json(),
        "seed": 0,
        "options": options(net),
    }
    at = {"epoch": 0, "position": 20, "sums": [1.0, 1.0, 1.0], "best": -1.0}
    at["schedule"] = {"best": -1.0, "waited": 0, "cuts": 0, "since": 0.0}
    momentum = {key: np.zeros_like(value) for key, value in net.params.items()}
    checkpoint.save(tmp_path / "last.h5", net, info, {"momentum": momentum, "progress": at})
    again = runs.resume(tmp_path, {}).net
    assert again.execution.tf32 and options(again)["tf32"] is True
    assert not again.to(Device()).execution.tf32


@pytest.fixture
def kinds(xp, monkeypatch):
    """The compute types of the products from here on."""
    if xp is np:
        pytest.skip("only a GPU has TF32: pytest --device gpu")
    found, real = [], xp.matmul

    def spied(*matrices, **how):
        found.append(xp._core.get_compute_type("float32"))
        return real(*matrices, **how)

    monkeypatch.setattr(xp, "matmul", spied)
    return found


def test_a_product_asks_for_it_alone(kinds, xp):
    from cupy._core._routines_linalg import COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_TF32

    a = xp.ones((2, 2), "float32")
    for tf32 in (False, True, False):
        product(a, a, tf32=tf32)
    with pytest.raises(ValueError):
        product(a, xp.ones((3, 2), "float32"), tf32=True)
    assert kinds == [
        COMPUTE_TYPE_DEFAULT,
        COMPUTE_TYPE_TF32,
        COMPUTE_TYPE_DEFAULT,
        COMPUTE_TYPE_TF32,
    ]
    assert xp._core.get_compute_type("float32") == COMPUTE_TYPE_DEFAULT


@pytest.mark.parametrize("tf32", [False, True])
def test_all_products_of_a_net_ask_for_it_on_the_device_that_has_it(tf32, kinds, xp):
    from cupy._core._routines_linalg import COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_TF32

    net = models.build("lenet", classes=3).to(Device(0, tf32))
    logits, caches = net.forward(xp.ones((2, *net.shape), "float32"))
    net.backward(logits, caches)
    net.deconv(logits, caches)
    assert set(kinds) == {COMPUTE_TYPE_TF32 if tf32 else COMPUTE_TYPE_DEFAULT}
    layers = [name for name, layer in net.layers if layer.params]
    assert len(kinds) == 4 * len(layers)  # up, down twice, and a gradient of each


def test_its_factors_are_rounded_to_ten_bits():
    """The nearest of the numbers with 10 bits after the leading one: 1 + k / 1024 up to 2."""
    x = np.random.default_rng(0).uniform(1, 2, 5000).astype("float32")
    want = np.floor(x.astype("float64") * 1024 + 0.5) / 1024
    np.testing.assert_array_equal(tf32_error.rounded(x), want)
    np.testing.assert_array_equal(tf32_error.rounded(-x * 2**-40), -want * 2**-40)


def test_the_error_of_a_layer_is_that_of_its_factors():
    """Near 2^-11 of the largest value, and a thousand times that of float32."""
    for _, found in tf32_error.errors(models.build("lenet", classes=4), 2):
        for ours, tf32 in found.values():
            assert 5e-5 < tf32 < 2e-3 and 0 < ours < 5e-6
