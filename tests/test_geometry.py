"""What a unit sees, by hand: rows and columns apart."""

from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net
from rawconv.visualize.receptive_field import Field, fields


def test_the_box_of_a_unit():
    field = Field(size=(7, 9), jump=(2, 3), start=(-1, -4))
    assert field.box(0, 0) == (-1, -4, 6, 5)
    assert field.box(5, 1) == (9, -1, 16, 8)


def test_fields_grow_with_windows_and_strides():
    layers = [
        ("conv1", Conv(2, (3, 5), stride=(2, 1), pad=(1, 2))), ("relu1", ReLU()), ("pool1", MaxPool((2, 3), (3, 2))),
        ("conv2", Conv(2, (3, 2), pad=(0, 1))),
    ]  # fmt: skip
    found = fields(Net((40, 40, 3), layers))
    assert found == {
        "conv1": ((3, 5), (2, 1), (-1, -2)), "relu1": ((3, 5), (2, 1), (-1, -2)),
        "pool1": ((3 + 1 * 2, 5 + 2 * 1), (6, 2), (-1, -2)),
        "conv2": ((5 + 2 * 6, 7 + 1 * 2), (6, 2), (-1, -2 - 1 * 2)),
    }  # fmt: skip
