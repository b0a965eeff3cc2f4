"""Caffe's files: fields that are misspelt or a fork's own, pools whose field 13 has two meanings, graphs that are not
sound, layers that a deconvnet has no rule for; one sentence each, which names the layer.
"""

import caffe_nets as nets
import numpy as np
import pytest
from click.testing import CliRunner

from rawconv.cli.import_ import main
from rawconv.convert import Wanted
from rawconv.convert.read import import_net
from rawconv.errors import RawconvError, UsageError

pytest.importorskip(
    "google.protobuf", reason="protobuf is not installed (pip install 'rawconv[caffe]')"
)
import caffe_files as files


def opened(folder, data, text=None, **wanted):
    """The Imported of these bytes, and of the text that goes with them."""
    (folder / "net.caffemodel").write_bytes(data)
    if text is not None:
        (folder / "deploy.prototxt").write_text(str(text))
        wanted["prototxt"] = str(folder / "deploy.prototxt")
    return import_net(folder / "net.caffemodel", Wanted(**wanted))


def changed(net, *changes):
    """The text of a net after these (before, after)."""
    text = str(net)
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


# Fields


MISSPELT = {
    "strides": ("num_output: 8 kernel_size: 7 stride: 2", "num_output: 8 kernel_size: 7 strides: 2",
                "'conv1' of type Convolution with a field 'convolution_param.strides'.*'stride' may be meant.*deploy"),
    "dilations": ("pad: 2", "pad: 2 dilations: 2", "'conv2'.*convolution_param.dilations.*'dilation' may be meant"),
    "kernel_sise": ("pool: MAX kernel_size: 3 stride: 2 } }\\nlayer { name: \"norm1\"", None,
                    "'pool1'.*pooling_param.kernel_sise.*'kernel_size' may be meant"),
    "relu_parm": ('bottom: "conv1" top: "conv1" }', 'bottom: "conv1" top: "conv1" relu_parm {} }',
                  "'relu1' of type ReLU with a field 'relu_parm'.*'relu_param' may be meant"),
    "relu_param": ('bottom: "conv1" top: "conv1" }', 'bottom: "conv1" top: "conv1" relu_param { slope: 0.1 } }',
                   "'relu1'.*relu_param.slope"),
    "type": ('type: "LRN"', 'typ: "LRN"', "a layer 'norm1' of type "),
    "botom": (
        'type: "Dropout" bottom: "fc6"', 'type: "Dropout" botom: "fc6"', "'drop6'.*'botom'.*'bottom' may be meant"),
    "alfa": ("alpha: 0.5", "alfa: 0.5", "'norm1'.*lrn_param.alfa.*'alpha' may be meant"),
    "shape of an input": ("dim: 43 }", "dim: 43 dims: 1 }", None),
    "lauer": (
        'layer { name: "relu2"', 'lauer { name: "relu2"', "the field 'lauer'.*'layer' may be meant. Mend it there"),
    "ratio in a list": ("dropout_ratio: 0.5", "dropout_ratio: 0.5 seeds: [1, 2] also: 'x { y: 1'", "param.seeds"),
}  # fmt: skip


@pytest.mark.parametrize("what", MISSPELT)
def test_a_misspelt_field_of_a_used_layer_is_named(what, tmp_path):
    net, (before, after, message) = nets.caffenet(), MISSPELT[what]
    if after is None:
        before, after = (
            "pool: MAX kernel_size: 3 stride: 2 } }",
            "pool: MAX kernel_sise: 3 stride: 2 } }",
        )
        text = str(net).replace(before, after, 1)
    else:
        text = changed(net, (before, after))
    data = net.model().SerializeToString()
    if message is None:  # of no layer that computes
        assert opened(tmp_path, data, text).net.shapes
        return
    with pytest.raises(RawconvError, match=message) as refusal:
        opened(tmp_path, data, text)
    assert "\n" not in str(refusal.value)


def test_fields_that_say_nothing_of_the_scores_are_passed_over(tmp_path):
    """Learning rates, fillers, engines, of every used layer; anything in a layer that is not used."""
    net = nets.resnet()
    more = "param { lr_mult: 1 decay_mult: 0 } phase: TEST propagate_down: true loss_weight: 0 }"
    text = "\n".join([net.lines[0], *(f"{line[:-1]}{more}" for line in net.lines[1:])])
    text = text.replace(
        "kernel_size: 7", 'weight_filler { type: "xavier" made_up: 1 } kernel_size: 7 engine: CUDNN'
    )
    text += """
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc1000" bottom: "label" what_is_this: 3 }
    layer { name: "aux" type: "PReLU" bottom: "pool5" top: "aux" strides: 2 include { phase: TRAIN } }
    """
    data = net.model().SerializeToString()
    ours, theirs = opened(tmp_path, data, text).net, opened(tmp_path, data, net).net
    for key, array in theirs.params.items():
        np.testing.assert_array_equal(ours.params[key], array)


@pytest.mark.parametrize(
    ("name", "field", "number"),
    [("conv1", "convolution_param", b"\x98\x01\x02"), ("conv1", "convolution_param", b"\xa2\x01\x00"),
     ("pool5", "pooling_param", b"\x08\x07"), ("relu1", "relu_param", b"\x18\x01")],
)  # fmt: skip
def test_a_fork_s_own_field_in_a_binary_file(name, field, number, tmp_path):
    """Field 19 and 20 of a convolution, a method of pooling that there is not, a third field of a ReLU."""
    model = nets.caffenet().model()
    model.layer[2].name = "pool5"
    model.layer[2].pooling_param.ClearField("pool")
    layer = next(layer for layer in model.layer if layer.name == name)
    getattr(layer, field).MergeFromString(number)
    getattr(layer, field).SetInParent()
    wanted = {b"\x98\x01\x02": 19, b"\xa2\x01\x00": 20, b"\x08\x07": 1, b"\x18\x01": 3}[number]
    with pytest.raises(
        RawconvError, match=f"'{name}'.*with the field {wanted} in its {field}.*BVLC"
    ):
        opened(tmp_path, model.SerializeToString())
    assert opened(
        tmp_path, model.SerializeToString(), nets.caffenet()
    ).net.shapes  # a text says it all


# Field 13 of pools


def pooled(said, side):
    """10 places under windows of 3, 2 apart: 5 if rounded up, 4 if down; side: that the scores fit, 0 for any."""
    net = nets.Text(12).conv("c", 4, 3).pool("p", f"pool: MAX kernel_size: 3 stride: 2 {said}")
    return (
        net.fc("f", 2, side * side)
        if side
        else net.pool("g", "pool: AVE global_pooling: true").fc("f", 2, 1)
    )


@pytest.mark.parametrize(
    ("said", "side"),
    [
        ("ceil_mode: false", 4),
        ("ceil_mode: true", 5),
        ("round_mode: FLOOR", 4),
        ("round_mode: CEIL", 5),
    ],
)
def test_a_text_names_the_rounding(said, side, tmp_path):
    net = pooled(said, 0)
    found = opened(tmp_path, pooled("", 0).model().SerializeToString(), net)
    assert found.net.shapes["pool1"] == (side, side, 4)
    conventions = found.info["imported"]["conventions"]
    assert conventions["rounding"].startswith(
        f"down for convolutions; pools as their {said.split(':')[0]} says"
    )
    assert "field 13 of pools" not in conventions


def test_a_text_with_both_names_is_refused(tmp_path):
    net = pooled("round_mode: FLOOR ceil_mode: true", 0)
    with pytest.raises(RawconvError, match="'p'.*both round_mode and ceil_mode"):
        opened(tmp_path, net.model().SerializeToString(), net)


@pytest.mark.parametrize(
    ("value", "fits", "side", "taken"),
    [(0, 5, 5, "round_mode of BVLC"), (1, 4, 4, "round_mode of BVLC"), (0, 4, 4, "ceil_mode of its forks"),
     (1, 5, 5, "ceil_mode of its forks"), (0, 0, 5, "round_mode of BVLC"), (1, 0, 4, "round_mode of BVLC")],
)  # fmt: skip
def test_in_a_binary_file_the_sizes_decide_what_field_13_means(value, fits, side, taken, tmp_path):
    """0 is CEIL of BVLC's round_mode, and false of the forks' ceil_mode.  fits: the side of the weights, 0 for any."""
    net = pooled("", fits)
    model = net.model()
    model.layer[1].pooling_param.MergeFromString(bytes([13 << 3, value]))
    found = opened(tmp_path, model.SerializeToString())
    assert found.net.shapes["pool1"] == (side, side, 4)
    assert taken in found.info["imported"]["conventions"]["field 13 of pools"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        said = CliRunner().invoke(main, ["net.caffemodel", "out.h5"])
    assert (
        said.exit_code == 0
        and f"field 13 of its pools, which has no name in the file: taken as {taken}" in said.output
    )


def test_where_neither_meaning_fits_the_first_is_told(tmp_path):
    model = pooled("", 3).model()
    model.layer[1].pooling_param.MergeFromString(bytes([13 << 3, 0]))
    with pytest.raises(RawconvError, match="'f'.*does not fit maps of 5x5x4"):
        opened(tmp_path, model.SerializeToString())


# Graphs and layers


# As a training file of GoogLeNet: labels that Caffe splits, losses, accuracies.
WATCHING = """
    layer { name: "s" type: "Split" bottom: "label" top: "label_0" top: "label_1" }
    layer { name: "l1" type: "SoftmaxWithLoss" bottom: "loss1/fc" bottom: "label_0" top: "l1" loss_weight: 0.3 }
    layer { name: "l3" type: "EuclideanLoss" bottom: "loss3/fc" bottom: "label_1" top: "l3" }
    layer { name: "a" type: "Accuracy" bottom: "loss3/fc" bottom: "label" top: "a" }
    layer { name: "m" type: "ArgMax" bottom: "loss3/fc" top: "m" }
"""


def test_of_several_heads_one_is_asked_for_and_the_others_are_left_out(tmp_path):
    net = nets.Text(9).conv("conv1", 4, 3).relu("relu1")
    net.fc("loss1/fc", 5, 49).add("aux", "PReLU", bottom="conv1").fc("loss3/fc", 3, 49)
    text = str(net).replace('input: "data"', 'input: "data" input: "label"') + WATCHING
    data = net.model().SerializeToString()

    def names(output):
        return [name for name, _ in opened(tmp_path, data, text, output=output).net.layers]

    assert names("loss1/fc") == ["conv1", "relu1", "fc2"] and names("conv1") == ["conv1", "relu1"]
    several = "2 outputs.*'loss1/fc', 'loss3/fc'. Name one with --output"
    with pytest.raises(RawconvError, match=several):
        opened(tmp_path, data, text)
    with pytest.raises(
        RawconvError, match="'aux' of type PReLU: an activation.*--output a blob below"
    ):
        names("loss3/fc")
    with pytest.raises(
        UsageError, match="no output 'data'; its outputs are 'loss1/fc', 'loss3/fc'"
    ):
        names("data")


REFUSED = {
    "product": (lambda n: n.add("e", "Eltwise", "eltwise_param { operation: PROD }", ["c", "d"]),
                "'e' of type Eltwise.*a product of maps"),
    "maximum": (lambda n: n.add("e", "Eltwise", "eltwise_param { operation: MAX }", ["c", "d"]), "a maximum of maps"),
    "coefficients": (lambda n: n.add("e", "Eltwise", "eltwise_param { coeff: 2 }", ["c", "d"]), "1 coefficients for 2"),
    "unlike sizes": (lambda n: n.conv("x", 4, 3, bottom="c").add("e", "Eltwise", "", ["x", "d"]), "maps of one shape"),
    "concat of rows": (lambda n: n.add("e", "Concat", "concat_param { axis: 2 }", ["c", "d"]), "along axis 2"),
    "concat of both": (lambda n: n.add("e", "Concat", "concat_param { axis: 1 concat_dim: 1 }", ["c", "d"]), "both"),
    "concat of batches": (lambda n: n.add("e", "Concat", "concat_param { concat_dim: 0 }", ["c", "d"]), "along axis 0"),
    "flat beside maps": (
        lambda n: n.add("x", "Flatten", bottom="c").add("e", "Concat", "", ["x", "d"]), "flattened and what was not"),
    "a convolution of flat": (lambda n: n.add("x", "Flatten").conv("e", 2, 1), "'e'.*maps that were flattened"),
    "half flattened": (lambda n: n.add("x", "Flatten", "flatten_param { axis: 2 }"), "flattens axes 2 to -1"),
    "gates": (lambda n: n.add("e", "Scale", "", ["c", "d"]), "'e' of type Scale.*product of maps, as attention"),
    "a scale of rows": (lambda n: n.add("e", "Scale", "scale_param { axis: 2 }"), "scales 1 axes from axis 2"),
    "a scale of all": (lambda n: n.add("e", "Scale", "scale_param { num_axes: -1 }"), "scales -1 axes"),
    "norms of a batch": (lambda n: n.norm("e", more="use_global_stats: false"), "'bn_e'.*numbers of each batch"),
    "sigmoid": (lambda n: n.add("e", "Sigmoid"), "'e' of type Sigmoid: an activation other than the ReLU; raw"),
    "resolution": (lambda n: n.add("e", "Deconvolution"), "an increase in resolution"),
    "slices": (lambda n: n.add("e", "Slice", 'top: "other"'), "a split or a new order of maps"),
    "softmax inside": (lambda n: n.add("x", "Softmax").add("e", "ReLU"), "a softmax within the net"),
    "softmax over rows": (lambda n: n.add("e", "Softmax", "softmax_param { axis: 2 }"), "not one over the classes"),
    "softmax over one": (lambda n: n.add("e", "Softmax", "softmax_param { axis: -1 }"), "not one over the classes"),
    "a program": (lambda n: n.add("e", "Python"), "which rawconv does not run"),
    "at test": (lambda n: n.add("e", "Dropout", "dropout_param { scale_train: false }"), "scale_train"),
    "a circle": (lambda n: n.add("e", "Eltwise", "", ["d", "later"]).add("later", "ReLU"),
                 "'e' of type Eltwise that takes 'later', which no layer above it makes.*order of the file"),
    "a blob twice": (
        lambda n: n.add("e", "ReLU", top="d", bottom="c"), "makes 'd' twice, the second time by a layer 'e'"),
    "a name twice": (lambda n: n.conv("c", 4, 3, "pad: 1", bottom="d"), "the weights of two layers 'c'"),
    "two pictures": (lambda n: n.add("e", "Eltwise", "", ["d", "more"]), "of 2 inputs; rawconv takes nets of one"),
}  # fmt: skip


def two_maps():
    net = nets.Text(8).conv("c", 4, 3, "pad: 1").conv("d", 4, 1)
    net.lines[0] += ' input: "more" input_shape { dim: 1 dim: 4 dim: 8 dim: 8 }'
    return net


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_names_its_layer(what, tmp_path):
    change, message = REFUSED[what]
    with pytest.raises(RawconvError, match=message) as refusal:
        opened(tmp_path, change(two_maps()).model().SerializeToString())
    assert "\n" not in str(refusal.value) and "damaged or cannot be read" not in str(refusal.value)


def test_a_softmax_may_count_its_axis_from_the_end(tmp_path):
    """The last axis of scores is that of the classes; of maps it is their width."""
    net = two_maps().fc("f", 3, 64).add("p", "Softmax", "softmax_param { axis: -1 }")
    assert opened(tmp_path, net.model().SerializeToString()).foreign.softmax == "softmax"


def test_two_layers_of_one_name_in_a_text_have_no_weights_of_their_own(tmp_path):
    net = two_maps()
    text = str(net).replace('name: "d"', 'name: "c"')
    with pytest.raises(RawconvError, match="'c'.*another layer has its name"):
        opened(tmp_path, net.model().SerializeToString(), text)


def test_both_versions_of_layers_in_one_file(tmp_path):
    with pytest.raises(RawconvError, match="layers of two versions"):
        opened(
            tmp_path,
            files.network(
                files.TRAINED + files.DEPLOY.replace('name: "SmallCaffe"', "")
            ).SerializeToString(),
        )


@pytest.mark.parametrize(
    "rule", ["phase: TRAIN", "min_level: 1", "max_level: -1", 'stage: "test-on-train"']
)
def test_rules_of_phases_levels_and_stages(rule, tmp_path):
    """A layer that such a rule includes is not there; one that it excludes is."""
    net = two_maps().fc("f", 3, 64)
    relu = 'layer {{ name: "{}" type: "ReLU" bottom: "c" top: "c" {} {{ {} }} }}\n'
    lines = relu.format("r", "include", rule) + relu.format("q", "exclude", rule)
    text = changed(net, ('layer { name: "d"', f'{lines}layer {{ name: "d"'))
    found = opened(tmp_path, net.model().SerializeToString(), text)
    assert [name for name, *_ in found.foreign.layers] == ["c", "q", "d", "f"]


def test_names_that_are_no_utf8(tmp_path):
    """protobuf makes bytes of them."""
    data = two_maps().model().SerializeToString()
    assert data.count(b"\n\x01c\x12\x0bConvolution") == 1
    found = opened(
        tmp_path, data.replace(b"\n\x01c\x12\x0bConvolution", b"\n\x01\xff\x12\x0bConvolution")
    )
    assert "xff" in found.info["imported"]["layers"]["conv1"]
