"""The nets against the numbers of the paper (ZFNet: Fig. 3; AlexNet: Krizhevsky 2012; the variants:
Table 3).
"""

import numpy as np
import pytest

from rawconv import models
from rawconv.errors import UsageError
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.visualize.receptive_field import fields


def parameters(net):
    return sum(value.size for value in net.params.values())


def test_zfnet_is_the_papers():
    net = models.build("zfnet", 1000)
    assert parameters(net) == 62_357_608
    sides = [
        net.shapes[name][0]
        for name in ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
    ]
    assert sides == [110, 55, 26, 13, 13, 13, 13, 6]
    assert net.shapes["fc8"] == (1, 1, 1000)
    counts = [
        net[name].weight.size + net[name].bias.size for name, layer in net.layers if layer.params
    ]
    assert counts == [
        14_208,
        614_656,
        885_120,
        1_327_488,
        884_992,
        37_752_832,
        16_781_312,
        4_097_000,
    ]


ZFNET_FIELDS = {
    "conv1": (7, 2, 0), "pool1": (11, 4, 0), "conv2": (27, 8, 0), "pool2": (43, 16, 0), "conv3": (75, 16, -16),
    "conv4": (107, 16, -32), "conv5": (139, 16, -48), "pool5": (171, 32, -48),
}  # fmt: skip
ZF64_FIELDS = dict(zip(ZFNET_FIELDS, (7, 11, 19, 27, 43, 59, 75, 91), strict=True))
ZF32_FIELDS = dict(zip(ZFNET_FIELDS, (5, 7, 15, 19, 27, 35, 43, 51), strict=True))


@pytest.mark.parametrize("size, sides", [(96, [46, 23, 10, 5, 5, 2]), (128, [62, 31, 14, 7, 7, 3])])
def test_zfnet_on_smaller_images(size, sides):
    net = models.build("zfnet-fc2048", 10, size)
    assert [
        net.shapes[name][0] for name in ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")
    ] == sides
    for name, (width, jump, start) in ZFNET_FIELDS.items():
        assert fields(net)[name] == ((width, width), (jump, jump), (start, start))


def test_small_nets():
    for name, widths in (("zf64", ZF64_FIELDS), ("zf32", ZF32_FIELDS)):
        seen = fields(models.build(name, 10))
        assert {layer: seen[layer].size[0] for layer in widths} == widths
    net = models.build("zf64", 64)
    assert parameters(net) == 1_500_096
    names = ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")
    assert [net.shapes[name][0] for name in names] == [32, 16, 16, 8, 8, 4]
    assert fields(net)["conv4"].size[0] < 64


def test_lenet():
    assert (
        parameters(models.build("lenet", 10))
        == (75 * 20 + 20) + (500 * 50 + 50) + (800 * 500 + 500) + 5010
    )


@pytest.mark.parametrize(
    "name, count",
    [
        ("alexnet", 62_378_344),
        ("alexnet-groups", 60_965_224),
        ("alexnet-without-34", 59_268_712),
        ("alexnet-without-7", 44_183_912),
        ("alexnet-without-67", 11_551_080),
        ("alexnet-without-3467", 9_854_568),
        ("zfnet-fc2048", 28.8e6),
        pytest.param("zfnet-fc8192", 154.5e6, marks=pytest.mark.long),
        pytest.param("zfnet-wide", 107.6e6, marks=pytest.mark.long),
        pytest.param("zfnet-wide-fc8192", 237.6e6, marks=pytest.mark.long),
    ],
)
def test_parameter_counts(name, count):
    found = parameters(models.build(name, 1000))
    assert found == count if isinstance(count, int) else abs(found - count) < 0.05e6


A, Z, WIDE, WIDE64 = [384, 384, 256], [128, 128, 96], [512, 1024, 512], [171, 341, 192]
TABLE3 = {  # of the rows, large and small: filters of layers 3 to 7 that are there, groups
    "alexnet": ([*A, 4096, 4096], 1), "alexnet-groups": ([*A, 4096, 4096], 2),
    "alexnet-without-34": ([256, 4096, 4096], 2), "alexnet-without-7": ([*A, 4096], 2),
    "alexnet-without-67": (A, 2), "alexnet-without-3467": ([256], 2),
    "alexnet-fc2048": ([*A, 2048, 2048], 2), "alexnet-fc8192": ([*A, 8192, 8192], 2),
    "zfnet": ([*A, 4096, 4096], 1), "zfnet-fc2048": ([*A, 2048, 2048], 1), "zfnet-fc8192": ([*A, 8192, 8192], 1),
    "zfnet-wide": ([*WIDE, 4096, 4096], 1), "zfnet-wide-fc8192": ([*WIDE, 8192, 8192], 1),
    "alex64": ([*Z, 512, 512], 1), "alex64-groups": ([*Z, 512, 512], 2),
    "alex64-without-34": ([96, 512, 512], 2), "alex64-without-7": ([*Z, 512], 2),
    "alex64-without-67": (Z, 2), "alex64-without-3467": ([96], 2),
    "alex64-fc256": ([*Z, 256, 256], 2), "alex64-fc1024": ([*Z, 1024, 1024], 2),
    "zf64": ([*Z, 512, 512], 1), "zf64-fc256": ([*Z, 256, 256], 1), "zf64-fc1024": ([*Z, 1024, 1024], 1),
    "zf64-wide": ([*WIDE64, 512, 512], 1), "zf64-wide-fc1024": ([*WIDE64, 1024, 1024], 1),
    "zf32": ([96, 96, 64, 256, 256], 1),
}  # fmt: skip


def test_the_widths_and_groups_of_every_model():
    """Groups as in Krizhevsky's net, in layers 2, 4 and 5; dropout as the docstrings say; all filters."""
    assert {*TABLE3, "lenet"} == set(models.MODELS)
    for name, (widths, groups) in TABLE3.items():
        _, layers = models.MODELS[name](7)
        convs = {at[-1]: layer for at, layer in layers if isinstance(layer, Conv)}
        assert [layer.filters for layer in convs.values()][2:] == [*widths, 7], name
        first = [96, 256] if "net" in name else [32, 64] if name == "zf32" else [48, 96]
        assert [convs["1"].filters, convs["2"].filters] == first, name
        assert {number for number, layer in convs.items() if layer.groups == 2} == (
            set() if groups == 1 else {"2", "4", "5"} & convs.keys()
        ), name
        drops = {at: layer for at, layer in layers if isinstance(layer, Dropout)}
        assert all(layer.stream == int(at[-1]) for at, layer in drops.items()), (
            "each has random numbers of its own"
        )
        assert {layer.rate for _, layer in layers if isinstance(layer, Dropout)} <= {
            0.3 if "64" in name else 0.5
        }
        small = [layer.settings for number, layer in convs.items() if number in "345"]
        assert {(about["size"], about["stride"], about["pad"]) for about in small} == {
            ((3, 3), (1, 1), (1,) * 4)
        }, name


@pytest.mark.parametrize("base", ["alexnet", "alex64"])
def test_what_is_removed_goes_with_its_relu_and_dropout(base):
    """Table 3, upper half: the names that are left, in their order."""
    first = "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2"
    middle, last = "conv3 relu3 conv4 relu4", "conv5 relu5 pool5"
    fc6, fc7 = "fc6 relu6 drop6", "fc7 relu7 drop7"
    for numbers, want in {
        "34": f"{first} {last} {fc6} {fc7} fc8",
        "7": f"{first} {middle} {last} {fc6} fc8",
        "67": f"{first} {middle} {last} fc8",
        "3467": f"{first} {last} fc8",
    }.items():
        _, layers = models.MODELS[f"{base}-without-{numbers}"](10)
        assert " ".join(name for name, _ in layers) == want
        assert layers[-1][1].filters == 10
    _, layers = models.MODELS[f"{base}-groups"](10)
    assert " ".join(name for name, _ in layers) == f"{first} {middle} {last} {fc6} {fc7} fc8"


def test_alexnet_sides_and_fields():
    net = models.build("alexnet-groups", 10)
    assert [
        net.shapes[name][0] for name in ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")
    ] == [
        55,
        27,
        27,
        13,
        13,
        6,
    ]
    seen = fields(net)
    names = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
    assert [seen[name].size[0] for name in names] == [11, 19, 51, 67, 99, 131, 163, 195]
    assert [seen[name].jump[0] for name in names] == [4, 8, 8, 16, 16, 16, 16, 32]


def test_same_seed_same_weights_and_another_seed_others():
    one, two, other = (models.build("lenet", 10, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one.params[key], two.params[key]) for key in one.params)
    assert not np.array_equal(one["conv1"].weight, other["conv1"].weight)


def test_a_fully_connected_layer_covers_its_input():
    net = models.build("zf64", 7)
    assert isinstance(net["fc6"], Conv)
    assert net["fc6"].weight.shape == (4, 4, 96, 512)


def test_unknown_model_names_the_known():
    with pytest.raises(UsageError, match="zf64.*zfnet"):
        models.build("zf63")


@pytest.mark.parametrize("classes", [0, -1, 1.5, True, "abc", []])
def test_no_number_of_classes_and_no_names(classes):
    with pytest.raises(UsageError, match="^classes=.* is no number of classes; give"):
        models.build("lenet", classes)


def test_a_image_too_small_names_the_layer():
    with pytest.raises(ValueError, match="Layer conv2: .*smaller"):
        models.build("zfnet", 10, size=16)
