"""Going on from trained weights: frozen layers, shares of the learning rate, a classifier for other
classes.
"""

import numpy as np
import pytest
from PIL import Image

from rawconv import checkpoint, models
from rawconv.convert.parts import conv
from rawconv.errors import RawconvError, UsageError
from rawconv.layers.conv import Conv
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import Device
from rawconv.net import Net
from rawconv.training import recipes, runs
from rawconv.training.optimizer import SGD
from rawconv.training.recipes import Recipe, recipe_for, recipe_of

CHANGES = {"epochs": 1, "batch": 16, "schedule": "constant", "warmup": 0.0, "max_filter_rms": 0.0}
quiet = {"say": lambda line: None, "progress": False}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint of lenet on the scenes."""
    folder = tmp_path_factory.mktemp("trained")
    runs.train_run(runs.start("lenet", "scenes:60", changes=CHANGES), folder, Device(), **quiet)
    return folder / "last.h5"


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory):
    """Dark and light pictures, in folders."""
    folder, dice = tmp_path_factory.mktemp("two"), np.random.default_rng(0)
    for label, low in (("dark", 0), ("light", 150)):
        (folder / label).mkdir()
        for k in range(20):
            image = dice.integers(low, low + 100, (28, 28, 3)).astype(np.uint8)
            Image.fromarray(image).save(folder / label / f"{k}.png")
    return folder


def test_a_prefix_freezes_up_to_the_last_layer_under_it():
    names = ["layer1.0.conv", "layer1.0.relu", "layer1.1.conv", "layer10.conv", "fire2/conv", "fc"]
    kinds = [Conv(4, 3), ReLU(), Conv(4, 3), Conv(4, 3), Conv(4, 1), Conv(2, None)]
    net = Net((12, 12, 3), list(zip(names, kinds, strict=True)), ["a", "b"], np.zeros(3), "")
    learning = [name for name in names if not name.endswith("relu")]
    for frozen, count in (("layer1", 2), ("layer1.0", 1), ("fire2", 4), ("layer1.1.conv", 2)):
        rates = Recipe(frozen=frozen).layer_rates(net)
        assert [name for name in learning if rates[name] == 0] == learning[:count]
    with pytest.raises(UsageError, match="no layer 'layer' that learns"):
        Recipe(frozen="layer").layer_rates(net)


def test_frozen_layers_stay_bit_for_bit_and_the_others_learn(trained, tmp_path):
    before = checkpoint.load(trained).net.params
    run = runs.start(
        data="scenes:60",
        weights=trained,
        changes=CHANGES | {"frozen": "conv2", "max_filter_rms": 0.1},
    )
    runs.train_run(run, tmp_path, Device(), **quiet)
    last = checkpoint.load(tmp_path / "last.h5")
    for key, value in last.net.params.items():
        kept = key[0] in ("conv1", "conv2")
        assert np.array_equal(value, before[key]) == kept
        assert np.any(last.state["momentum"][key]) != kept


def test_an_import_s_recipe_does_not_come_from_its_file_s_name(tmp_path, two_classes):
    """`lenet.onnx` once learnt at a tenth of the rate of `x.onnx`; what decides is the size of the
    pictures.
    """
    recipes = {}
    for name in ("lenet", "x", "zf64-y"):
        net = models.build("lenet", ["a", "b"], size=40)
        net.model = name  # as the stem of an imported file
        checkpoint.save(tmp_path / f"{name}.h5", net, {})
        run = runs.start(data=str(two_classes), weights=tmp_path / f"{name}.h5", fine_tune=True)
        recipes[name] = run.recipe
        assert run.net.stored == (40, 40) and run.data.train.shape == (40, 40, 3)
    assert recipes["lenet"] == recipes["x"] == recipes["zf64-y"] == recipe_for(40)


@pytest.mark.parametrize("model, lr, epochs, stored", [
    ("lenet", 0.001, 30, 28), ("zf32", 0.01, 30, 32), ("alex64-fc256", 0.01, 30, 64), ("zfnet", 0.01, 70, 256),
])  # fmt: skip
def test_the_models_keep_their_recipes(model, lr, epochs, stored):
    """By their name before they are built, and by the net once they are."""
    assert recipe_of(models.build(model, 2)) == models.recipe(model)
    found = models.recipe(model)
    assert (found.lr, found.epochs, found.stored) == (lr, epochs, stored)
    with pytest.raises(UsageError, match="There is no model 'x'"):
        models.recipe("x")


def test_a_run_whose_images_are_said_to_be_of_another_size_is_refused(trained, tmp_path):
    """Before any picture is read: a recipe could ask for 16,384 pixels."""
    net, info, state = checkpoint.load(trained)
    checkpoint.save(
        tmp_path / "last.h5", net, info | {"recipe": info["recipe"] | {"stored": 16384}}, state
    )
    with pytest.raises(
        RawconvError, match=r"last.h5 is damaged: it keeps pictures in 28 pixels, and .* 16384"
    ):
        runs.resume(tmp_path, {})


def test_below_the_lowest_layer_that_learns_nothing_is_computed(trained, monkeypatch):
    net = checkpoint.load(trained).net
    optimizer = SGD(net, lr_multipliers={"conv1": 0.0, "conv2": 0.0})
    assert optimizer.lowest == [name for name, layer in net.layers if layer.params][2]
    scores, caches = net.forward(np.zeros((2, *net.shape), np.float32))
    whole = net.backward(scores, caches)
    scores, caches = net.forward(np.zeros((2, *net.shape), np.float32))
    monkeypatch.setattr(net["conv2"], "backward", None)
    pixels, grads = net.backward(scores, caches, stop=optimizer.lowest)
    assert pixels is None and "conv2" not in grads
    assert all(
        np.array_equal(grads[name][key], whole[1][name][key])
        for name in grads
        for key in grads[name]
    )


def test_a_share_of_the_rate_scales_a_layer_s_first_step():
    """v = -lr * share * (decay * w + g / n), from rest."""
    run = runs.start("lenet", "scenes:12")
    grads = {}
    for (layer, key), value in run.net.params.items():
        grads.setdefault(layer, {})[key] = np.ones_like(value)
    before = {key: value.copy() for key, value in run.net.params.items()}
    SGD(run.net, max_filter_rms=0, lr_multipliers={"conv2": 0.25}).update(grads, 0.1, 1 / 4)
    for (layer, key), value in run.net.params.items():
        rate, old = 0.025 if layer == "conv2" else 0.1, before[layer, key]
        step = -rate * ((5e-4 * old if key == "weight" else 0) + 1 / 4)
        np.testing.assert_allclose(value - old, step, rtol=1e-4)


def test_fine_tuning_to_other_classes_learns_them(trained, two_classes, tmp_path):
    changes = CHANGES | {"frozen": "conv2", "epochs": 3, "lr": 0.001}
    run = runs.start(data=two_classes, weights=trained, changes=changes, fine_tune=True)
    assert run.net.classes == ["dark", "light"] and run.net.shapes[run.net.layers[-1][0]] == (
        1,
        1,
        2,
    )
    result = runs.train_run(run, tmp_path, Device(), **quiet)
    assert result["val_top1"] > 0.9
    again = runs.resume(tmp_path, {})
    assert again.recipe.frozen == "conv2" and again.net.classes == ["dark", "light"]


def test_what_cannot_be_is_refused(trained, two_classes):
    with pytest.raises(RawconvError, match="add --fine-tune"):
        runs.start(data=two_classes, weights=trained)
    with pytest.raises(UsageError, match="needs --weights"):
        runs.start(data=two_classes, fine_tune=True)
    net = checkpoint.load(trained).net
    last = net.layers[-1][0]
    for changes, message in (
        ({"frozen": "conv9"}, "no layer 'conv9'.*conv1"),
        ({"lr_multipliers": {"relu1": 1}}, "no layer 'relu1'"),
        ({"frozen": last}, "nothing learns"),
    ):
        with pytest.raises(UsageError, match=message):
            models.recipe("lenet")._replace(**changes).layer_rates(net)


def test_a_net_can_be_built_on_parameters_that_are_there(trained):
    net = checkpoint.load(trained).net
    assert Net(net.shape, net.layers, net.classes).params.keys() == net.params.keys()


def test_the_size_of_the_stored_image_and_the_recipe_follow_from_the_input():
    """224 to 256 pixels are cut from 256, as the paper does; all else is stored as it is seen."""
    sizes = (24, 32, 64, 223, 224, 227, 256, 257, 299)
    assert [recipes.stored_for(size) for size in sizes] == [
        24,
        32,
        64,
        223,
        256,
        256,
        256,
        257,
        299,
    ]
    kinds = {
        31: recipes.TINY,
        32: recipes.SMALL,
        127: recipes.SMALL,
        128: recipes.PAPER,
        224: recipes.PAPER,
    }
    for size, kind in kinds.items():
        assert recipes.recipe_for(size) == kind._replace(stored=recipes.stored_for(size))
    assert recipes.recipe_for(32, 40).stored == 40
    paper, small, tiny = recipes.PAPER, recipes.SMALL, recipes.TINY
    assert paper[:11] == (
        70,
        128,
        0.01,
        "plateau",
        0.0,
        1.0,
        0.9,
        5e-4,
        0.1,
        "ten",
        256,
    ) and not any(paper[11:])
    assert (small.epochs, small.lr, small.schedule, small.warmup, small.first_lr) == (
        30,
        0.01,
        "cosine",
        0.5,
        0.1,
    )
    assert (tiny.epochs, tiny.lr, tiny.first_lr, tiny.crop) == (30, 0.001, 1.0, "pad4")


def test_a_new_classifier_of_an_imported_net_starts_small():
    """An import's own initialisation is He's, for controls; its new last layer begins as that of any net."""
    rng = np.random.default_rng(0)
    layers = [("conv1", conv(rng.random((8, 3, 5, 5), np.float32), None)), ("relu1", ReLU()),
              ("scores", conv(rng.random((4, 8, 16, 16), np.float32), None))]  # fmt: skip
    net = Net((20, 20, 3), layers, list("abcd"))
    assert net["scores"].init_std == "he"
    twin = runs.new_classifier(net, ["x", "y"], 1)
    assert twin["scores"].weight.std() == pytest.approx(0.01, rel=0.1)
    assert twin["conv1"] is net["conv1"]
