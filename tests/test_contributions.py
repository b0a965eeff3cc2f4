"""What units add to the difference of two logits: beside the weights by hand, and beside PyTorch's gradients."""

import nets
import numpy as np
import pytest
from laws import assert_close

import rawconv
from rawconv.errors import RawconvError, UsageError
from rawconv.machine.arrays import to_cpu
from rawconv.visualize.contributions import contributions, last_layers
from rawconv.visualize.forward_pass import ForwardPass, forward_pass
from rawconv.visualize.units import layer_object


def chain(xp):
    net = nets.make(xp, nets.FULL)
    return net, ForwardPass(net, xp.asarray(nets.image(batch=2)))


def test_of_the_last_features_by_the_weights(xp):
    net, passed = chain(xp)
    found = contributions(passed, "fc4", 3, 1, image=1)
    weight, bias = (to_cpu(net["scores"].params[key]) for key in ("weight", "bias"))
    activations, logits = to_cpu(passed["fc4"])[1, 0, 0], to_cpu(passed.logits)[1]
    assert_close(found.maps, activations * (weight[0, 0, :, 3] - weight[0, 0, :, 1]), 1e-12)
    assert not found.bent and found.method.startswith("Exact: fc4 ")
    assert {unit.image for unit in found.units} == {1}
    assert abs(found.rest - (bias[3] - bias[1])) < 1e-12
    assert abs(found.maps.sum() + found.rest - (logits[3] - logits[1])) < 1e-12


@pytest.mark.parametrize("layer", ["conv1", "pool1", "norm1", "conv2", "pool2", "conv3", "fc4"])
def test_from_any_layer_sum_and_rest_are_the_difference(layer):
    _, passed = chain(np)
    found, back = contributions(passed, layer, 3, 1), contributions(passed, layer, 1, 3)
    assert abs(found.maps.sum() + found.rest - found.difference) < 1e-11
    assert_close(found.maps, -back.maps, 1e-12)
    assert bool(found.bent) == (layer != "fc4")
    for unit, value in zip(found.units, found.values, strict=True):
        assert to_cpu(passed[layer])[0, unit.y, unit.x, unit.channel] == value


def test_the_strongest_of_both_sides():
    _, passed = chain(np)
    found = contributions(passed, "conv3", 3, 1)
    for_guessed, for_true = found.strongest(2)
    order = np.argsort(found.maps)
    assert [one.unit.channel for one in for_guessed] == [
        m for m in order[::-1][:2] if found.maps[m] > 0
    ]
    assert [one.unit.channel for one in for_true] == [m for m in order[:2] if found.maps[m] < 0]
    assert all(one.adds == found.maps[one.unit.channel] for one in for_guessed + for_true)
    assert for_guessed and all(one.adds > 0 for one in for_guessed)
    assert "relu3" not in found.method and "relu4" in found.method


def test_a_map_is_shown_where_it_adds_most():
    """Naively: each place raised by a little, one after the other."""
    net, passed = chain(np)
    found = contributions(passed, "pool2", 0, 2)
    y = to_cpu(passed["pool2"])[:1]
    nodes = [
        node
        for node in net.nodes.values()
        if node.name in ("conv3", "relu3", "fc4", "relu4", "drop4", "scores")
    ]

    def difference(pooled):
        for _, out, _ in net.walk_up(nodes, {"pool2": pooled}):  # noqa: B007
            pass
        return out[0, 0, 0, 0] - out[0, 0, 0, 2]

    for channel in (0, 3, 5):
        adds = np.zeros(y.shape[1:3])
        for place in np.ndindex(*adds.shape):
            more = y.copy()
            more[(0, *place, channel)] += 1e-6
            adds[place] = y[(0, *place, channel)] * (difference(more) - difference(y)) / 1e-6
        assert abs(adds.sum() - found.maps[channel]) < 1e-6
        best = np.unravel_index((adds * np.sign(adds.sum())).argmax(), adds.shape)
        assert best == (found.units[channel].y, found.units[channel].x)


def test_what_cannot_be_asked():
    _, passed = chain(np)
    with pytest.raises(UsageError, match="two classes"):
        contributions(passed, "fc4", 2, 2)
    with pytest.raises(UsageError, match="a layer below"):
        contributions(passed, "scores", 2, 1)
    trunk = nets.make(np, nets.FULL[:5])
    with pytest.raises(RawconvError, match="score"):
        contributions(ForwardPass(trunk, nets.image()), "conv1", 0, 1)


def test_where_to_look_first():
    assert last_layers(nets.make(np, nets.FULL)) == ["fc4", "conv3"]
    assert last_layers(rawconv.load()) == ["fc7", "conv5"]


@pytest.fixture(scope="module")
def torches():
    pytest.importorskip(
        "onnx", reason="onnx is not installed: no foreign nets (pip install 'rawconv[onnx]')"
    )
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: no witness (pip install torch)"
    )
    return torch


# kind: (the layer asked, PyTorch's module whose output it is, another layer below and its module, whether the first
# is exact)
FORKS = {
    "resnet": ("layer2.1", "layer2", "layer1.1", "layer1", True),
    "squeezenet": ("features.6", "features.6", "features.4", "features.4", False),
}


@pytest.mark.parametrize("kind", FORKS)
def test_in_nets_that_branch_by_pytorch(torches, kind):
    """Activation times PyTorch's own gradient of the difference of its own logits."""
    import torch_blocks

    torch, (upper, of_upper, lower, of_lower, exact) = torches, FORKS[kind]
    model = torch_blocks.calibrated(torch_blocks.NETS[kind]()).eval()
    net = rawconv.from_torch(model, size=32, classes=list("abcde"))
    image = np.random.default_rng(4).integers(0, 256, (32, 32, 3), np.uint8)
    passed, kept = forward_pass(net, image), {}
    for name in (of_upper, of_lower):
        module = model.get_submodule(name)
        module.register_forward_hook(lambda _, __, y, name=name: kept.__setitem__(name, y))
    mean, std = (np.array(numbers).reshape(3) for numbers in rawconv.convert.from_torch.IMAGENET)
    x = torch.tensor(((image / 255 - mean) / std).transpose(2, 0, 1)[None], dtype=torch.float32)
    logits = model(x)[0]
    difference = logits[4] - logits[2]
    for layer, module in ((upper, of_upper), (lower, of_lower)):
        (slope,) = torch.autograd.grad(difference, kept[module], retain_graph=True)
        want = (kept[module] * slope)[0].sum(dim=(1, 2)).detach().numpy()
        found = contributions(passed, layer, 4, 2)
        assert_close(found.maps, want, 1e-4)
        assert abs(found.maps.sum() + found.rest - difference.item()) < 1e-4
        assert (not found.bent) == (exact and layer == upper)
    assert layer_object(net, last_layers(net)[0]) == layer_object(net, upper)
