"""Caffe's files become our nets: the scores are those of OpenCV's reader of the same bytes."""

import io
import os
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from rawconv import checkpoint
from rawconv.convert import PIXELS, Wanted
from rawconv.convert.caffe_blobs import from_layers
from rawconv.convert.caffe_graph import kind as kind_of
from rawconv.convert.caffe_layers import LAYERS
from rawconv.convert.read import import_net
from rawconv.convert.verify import file_input, verify
from rawconv.data.preprocessing import center_crop, preprocess
from rawconv.errors import RawconvError, UsageError
from rawconv.layers.softmax import softmax

pytest.importorskip(
    "google.protobuf", reason="protobuf is not installed (pip install 'rawconv[caffe]')"
)
import caffe_files as files

OPENCV = "OpenCV 4 is not installed: no witness for Caffe's files (pip install 'opencv-python-headless<5')"


def write(folder, data, name="net.caffemodel"):
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def images(size, count=3, seed=4):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def compare(found, kept, theirs=None):
    """Our scores beside those that OpenCV makes of the same file."""
    ours = found.net.forward(preprocess(found.net, kept), keep=False)[0].reshape(len(kept), -1)
    ours = softmax(ours.astype(np.float64)) if found.foreign.softmax else ours
    if theirs is None:
        pytest.importorskip("cv2", reason=OPENCV)
        x = file_input(center_crop(found.net, kept), found.pixels, kept.shape[1])
        theirs = np.concatenate(
            [found.reader.scores(found.path, one[None], found.wanted) for one in x]
        )
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()
    assert np.ptp(theirs, axis=0).max() > 1e-3  # they depend on the picture


@pytest.mark.parametrize("old", [False, True])
def test_version_2_with_norm_groups_pools_that_clip_and_softmax(old, tmp_path):
    path = write(tmp_path, files.caffemodel(files.DEPLOY, files.SHAPES, old=old))
    found = import_net(path)
    assert (
        found.pixels == PIXELS["caffe"]
        and "assumed" in found.info["imported"]["conventions"]["mean"]
    )
    # (9 + 2 - 2) over 2, up: 6 windows, the last dropped
    assert found.net.shapes["pool2"][:2] == (5, 5)
    compare(found, images(40))


@pytest.mark.parametrize(
    ("said", "side"), [("", 5), ("round_mode: CEIL", 5), ("round_mode: FLOOR", 4)]
)
def test_a_pool_rounds_as_it_says(said, side, tmp_path):
    """10 places under windows of 3, 2 apart: up unless it says down."""
    text = f"""
    input: "x" input_shape {{ dim: 1 dim: 3 dim: 12 dim: 12 }}
    layer {{ name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param {{ num_output: 4 kernel_size: 3 }} }}
    layer {{ name: "p" type: "Pooling" bottom: "c" top: "p"
             pooling_param {{ pool: MAX kernel_size: 3 stride: 2 {said} }} }}
    layer {{ name: "f" type: "InnerProduct" bottom: "p" top: "f" inner_product_param {{ num_output: 2 }} }}
    """
    shapes = {"c": [(4, 3, 3, 3), (4,)], "f": [(2, 4 * side * side), (2,)]}
    found = import_net(write(tmp_path, files.caffemodel(text, shapes)))
    assert found.net.shapes["pool1"] == (side, side, 4)


def test_version_1_as_it_was_trained(tmp_path):
    found = import_net(write(tmp_path, files.caffemodel(files.TRAINED, files.OLD_SHAPES, old=True)))
    assert [name for name, _ in found.net.layers] == [
        "conv1",
        "relu1",
        "pool1",
        "norm1",
        "avg1",
        "fc2",
    ]
    # of the phase TEST
    assert found.pixels.mean == (100.0, 110.0, 120.0) and found.pixels.order == "bgr"
    assert found.net.shape == (38, 38, 3) and found.foreign.softmax == ""
    compare(found, images(38))


def test_a_prototxt_says_the_size_and_the_file_the_pixels(tmp_path):
    """Deploy text in version 2, weights in version 1: the layers' names bring them together."""
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 10 dim: 3 dim: 38 dim: 38 } } }
    layer { name: "conv1" type: "Convolution" bottom: "x" top: "c"
            convolution_param { num_output: 8 kernel_size: 5 stride: 2 engine: CUDNN } }
    layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
    layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
    layer { name: "n" type: "LRN" bottom: "p" top: "n" lrn_param { local_size: 3 alpha: 0.2 beta: 0.5 } }
    layer { name: "average" type: "Pooling" bottom: "n" top: "a"
            pooling_param { pool: AVE kernel_size: 4 stride: 2 pad: 1 } }
    layer { name: "flat" type: "Flatten" bottom: "a" top: "f" }
    layer { name: "fc8" type: "InnerProduct" bottom: "f" top: "scores" inner_product_param { num_output: 5 } }
    """
    path = write(tmp_path, files.caffemodel(files.TRAINED, files.OLD_SHAPES))
    prototxt = write(tmp_path, text, "deploy.prototxt")
    found = import_net(path, Wanted(prototxt=prototxt))
    assert found.pixels.std == (1 / float(np.float32(0.02)),) * 3
    assert list(found.info["imported"]["files"]) == ["deploy.prototxt"]
    alone = import_net(path)
    kept = images(38)
    np.testing.assert_array_equal(found.net.forward(preprocess(found.net, kept))[0],
                                  alone.net.forward(preprocess(alone.net, kept))[0])  # fmt: skip
    compare(found, kept)


@pytest.mark.parametrize("before", ["Convolution", "InnerProduct"])
def test_batch_norm_and_scale_fold_into_what_is_before_them(before, tmp_path):
    about = "convolution_param { num_output: 4 kernel_size: 3 }"
    last = ("InnerProduct", "inner_product_param { num_output: 2 }")
    text = f"""
    input: "x" input_shape {{ dim: 1 dim: 3 dim: 8 dim: 8 }}
    layer {{ name: "a" type: "{before}" bottom: "x" top: "a"
             {about if before == "Convolution" else "inner_product_param { num_output: 4 }"} }}
    layer {{ name: "b" type: "BatchNorm" bottom: "a" top: "a" batch_norm_param {{ eps: 0.01 }} }}
    layer {{ name: "s" type: "Scale" bottom: "a" top: "a" scale_param {{ bias_term: true }} }}
    layer {{ name: "r" type: "ReLU" bottom: "a" top: "a" }}
    layer {{ name: "f" type: "{last[0]}" bottom: "a" top: "f" {last[1]} }}
    """
    first = [(4, 3, 3, 3), (4,)] if before == "Convolution" else [(4, 192), (4,)]
    net = files.network(text)
    shapes = {
        "a": first,
        "s": [(4,), (4,)],
        "f": [(2, 144 if before == "Convolution" else 4), (2,)],
    }
    net.ParseFromString(files.caffemodel(text, shapes))
    rng = np.random.default_rng(1)
    for array in (rng.standard_normal(4) * 5, rng.uniform(20, 40, 4), np.array([5.0])):
        files.fill(net.layer[1].blobs.add(), array.astype(np.float32))
    compare(import_net(write(tmp_path, net.SerializeToString())), images(8))


def test_a_grey_net_with_float64_weights_and_a_transposed_matrix(tmp_path):
    """Caffe's MNIST: pixels in [0, 1], data layers of before transform_param, an InnerProduct the
    other way round.
    """
    text = """
    layers { name: "mnist" type: DATA top: "data" top: "label" data_param { scale: 0.00390625 crop_size: 12 } }
    layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" convolution_param { num_output: 3 kernel_size: 5 } }
    layers { name: "f" type: INNER_PRODUCT bottom: "c" top: "f" inner_product_param { num_output: 4 } }
    layers { name: "r" type: RELU bottom: "f" top: "f" }
    layers { name: "g" type: INNER_PRODUCT bottom: "f" top: "g"
             inner_product_param { num_output: 2 transpose: true bias_term: false } }
    """
    net = files.network(text)
    rng = np.random.default_rng(2)
    w, b, f, g = (
        rng.standard_normal((3, 1, 5, 5)),
        rng.standard_normal(3),
        rng.standard_normal((4, 192)),
        rng.standard_normal((4, 2)),
    )
    arrays = {"c": [w, b], "f": [f.astype(np.float32), np.zeros(4, np.float32)], "g": [g]}
    for layer in net.layers:
        for array in arrays.get(layer.name, ()):
            files.fill(layer.blobs.add(), array)
    found = import_net(write(tmp_path, net.SerializeToString()))
    x = file_input(images(12), found.pixels, 12).astype(np.float64)
    assert x.shape == (3, 1, 12, 12) and x.min() >= 0 and x.max() < 1
    windows = np.lib.stride_tricks.sliding_window_view(x[:, 0], (5, 5), (1, 2))
    maps = np.einsum("nyxkl,fkl->nfyx", windows, w[:, 0]) + b[:, None, None]
    compare(found, images(12), np.maximum(maps.reshape(3, -1) @ f.T, 0) @ g)


def test_lrn_s_constant(tmp_path):
    """Beside PyTorch: OpenCV passes over k."""
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: no witness of LRN's k (pip install torch)"
    )
    text = """
    input: "x" input_shape { dim: 1 dim: 3 dim: 6 dim: 6 }
    layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 7 kernel_size: 3 } }
    layer { name: "n" type: "LRN" bottom: "c" top: "n" lrn_param { local_size: 3 alpha: 0.01 beta: 0.6 k: 2.5 } }
    layer { name: "f" type: "InnerProduct" bottom: "n" top: "f" inner_product_param { num_output: 2 } }
    """
    data = files.caffemodel(text, {"c": [(7, 3, 3, 3), (7,)], "f": [(2, 112), (2,)]})
    found = import_net(write(tmp_path, data))
    net = files.message("NetParameter").FromString(data)
    w, b, f, g = (
        np.frombuffer(blob.data[0], np.float32)
        for layer in (net.layer[0], net.layer[2])
        for blob in layer.blobs
    )
    x = torch.from_numpy(file_input(images(6), found.pixels, 6))
    y = torch.nn.functional.conv2d(x, torch.tensor(w.reshape(7, 3, 3, 3)), torch.tensor(b))
    y = torch.nn.functional.local_response_norm(y, 3, 0.01, 0.6, 2.5).flatten(1)
    compare(found, images(6), (y @ torch.tensor(f.reshape(2, 112)).T + torch.tensor(g)).numpy())


def test_a_mean_image(tmp_path):
    mean = np.random.default_rng(6).uniform(90, 130, (1, 3, 44, 44)).astype(np.float32)
    blob = files.fill(files.message("BlobProto")(), mean, old=True)
    path = write(tmp_path, files.caffemodel(files.DEPLOY, files.SHAPES))
    image = write(tmp_path, blob.SerializeToString(), "mean.binaryproto")
    found = import_net(path, Wanted(mean=image))
    assert (
        found.net.pixel_mean.shape == (44, 44, 3)
        and "mean" not in found.info["imported"]["conventions"]
    )
    np.testing.assert_allclose(found.net.pixel_mean, mean[0, ::-1].transpose(1, 2, 0))  # BGR to RGB
    compare(found, images(44))
    one = files.fill(files.message("BlobProto")(), mean[:, :, :1, :1], old=True)
    found = import_net(
        path, Wanted(mean=write(tmp_path, one.SerializeToString(), "one.binaryproto"))
    )
    assert found.pixels.mean == tuple(mean[0, :, 0, 0])
    with pytest.raises(RawconvError, match="cut.binaryproto, which is no BlobProto"):
        import_net(
            path, Wanted(mean=write(tmp_path, blob.SerializeToString()[:-9], "cut.binaryproto"))
        )
    flat = files.fill(files.message("BlobProto")(), mean[:, :, :2, :], old=True)
    with pytest.raises(RawconvError, match="flat.binaryproto.*no square picture"):
        import_net(path, Wanted(mean=write(tmp_path, flat.SerializeToString(), "flat.binaryproto")))


@pytest.mark.skipif(
    not os.environ.get("RAWCONV_PHOTOS"), reason="RAWCONV_PHOTOS, a folder of pictures, is not set"
)
def test_natural_images(tmp_path):
    archive = zipfile.ZipFile(os.path.join(os.environ["RAWCONV_PHOTOS"], "tinyimagenet10.zip"))
    names = sorted(
        name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png"))
    )[::500][:4]
    for text, shapes, size in (
        (files.DEPLOY, files.SHAPES, 40),
        (files.TRAINED, files.OLD_SHAPES, 38),
    ):
        kept = [
            Image.open(io.BytesIO(archive.read(name))).convert("RGB").resize((size, size))
            for name in names
        ]
        compare(import_net(write(tmp_path, files.caffemodel(text, shapes, seed=3))), np.stack(kept))


def wire(fields):
    """A message as protobuf writes it, by the numbers of caffe.proto: {number: value, or list of values}."""
    out = b""
    for number, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            value = wire(value) if isinstance(value, dict) else value
            kind = {int: 0, bytes: 2, float: 5}[type(value)]
            out += varint(number << 3 | kind)
            out += (
                varint(value)
                if kind == 0
                else struct.pack("<f", value)
                if kind == 5
                else varint(len(value)) + value
            )
    return out


def varint(value):
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


@pytest.mark.parametrize("version", [1, 2])
def test_the_numbers_of_caffe_s_fields(version):
    """OpenCV takes layers from text alone, so here they are written by hand."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(n).astype(np.float32) for n in (4 * 2 * 9, 4, 5 * 4 * 16, 5)]
    w, b, f, g = ({7: {1: [1, array.size]}, 5: array.tobytes()} for array in arrays)
    convolution, pool = {1: 4, 3: 1, 4: 3, 5: 2, 6: 2}, {1: 0, 2: 3, 3: 2, 4: 1}
    norm, product = {1: 3, 2: 0.5, 3: 0.25, 5: 2.0}, {1: 5}
    name, kind, bottom, top, blobs, *numbers = [
        (4, 5, 2, 3, 6, 10, 19, 18, 17),
        (1, 2, 3, 4, 7, 106, 121, 118, 117),
    ][version - 1]
    kinds = [(4, 17, 15, 14), (b"Convolution", b"Pooling", b"LRN", b"InnerProduct")][version - 1]
    abouts, weights = (convolution, pool, norm, product), ([w, b], [], [], [f, g])
    layers = [
        {
            name: b"l%d" % i,
            kind: kinds[i],
            bottom: b"b%d" % i,
            top: b"b%d" % (i + 1),
            blobs: weights[i],
            number: about,
        }
        for i, (number, about) in enumerate(zip(numbers, abouts, strict=True))
    ]
    data = wire({1: b"by hand", 3: b"b0", 4: [1, 4, 12, 12], {1: 2, 2: 100}[version]: layers})
    net = files.message("NetParameter").FromString(data)
    (conv, pooled, lrn, fc) = [*net.layer, *net.layers]
    assert [layer.name for layer in (conv, pooled, lrn, fc)] == ["l0", "l1", "l2", "l3"]
    shape, made = (12, 12, 4), []
    for layer in (conv, pooled, lrn, fc):
        (blobs,) = from_layers([layer]).values() if layer.blobs else [[]]
        made.append(LAYERS[kind_of(layer)](layer, blobs, shape, "float32"))
        shape = made[-1].out_shape(shape)
    assert made[0].settings | {"init_std": 0} == {
        "filters": 4, "size": (3, 3), "stride": (2, 2), "pad": (1, 1, 1, 1), "groups": 2, "ceil_mode": False,
        "init_std": 0,
    }  # fmt: skip
    assert made[1].settings == {
        "size": (3, 3),
        "stride": (2, 2),
        "pad": (1, 1, 1, 1),
        "ceil_mode": True,
    }
    assert made[2].settings == {"size": 3, "alpha": 0.5 / 3, "beta": 0.25, "k": 2.0}
    np.testing.assert_array_equal(
        made[0].weight, arrays[0].reshape(4, 2, 3, 3).transpose(2, 3, 1, 0)
    )
    np.testing.assert_array_equal(made[3].bias, arrays[3])
    assert shape == (1, 1, 5)


# Of caffe.proto (BVLC): the number of a message in LayerParameter and, where version 1 has it, in V1LayerParameter; of
# its fields.
NUMBERS = {
    "concat_param": (104, 9, {"concat_dim": 1, "axis": 2}),
    "convolution_param": (106, 10, {"num_output": 1, "bias_term": 2, "pad": 3, "kernel_size": 4, "group": 5,
                                    "stride": 6, "pad_h": 9, "pad_w": 10, "kernel_h": 11, "kernel_w": 12,
                                    "stride_h": 13, "stride_w": 14, "axis": 16, "dilation": 18}),
    "dropout_param": (108, 12, {"dropout_ratio": 1}),
    "eltwise_param": (110, 24, {"operation": 1, "coeff": 2}),
    "inner_product_param": (117, 17, {"num_output": 1, "bias_term": 2, "axis": 5, "transpose": 6}),
    "lrn_param": (118, 18, {"local_size": 1, "alpha": 2, "beta": 3, "norm_region": 4, "k": 5}),
    "pooling_param": (121, 19, {"pool": 1, "kernel_size": 2, "stride": 3, "pad": 4, "kernel_h": 5, "kernel_w": 6,
                                "stride_h": 7, "stride_w": 8, "pad_h": 9, "pad_w": 10, "global_pooling": 12,
                                "round_mode": 13}),
    "relu_param": (123, 30, {"negative_slope": 1}),
    "softmax_param": (125, 39, {"axis": 2}),
    "flatten_param": (135, None, {"axis": 1, "end_axis": 2}),
    "batch_norm_param": (139, None, {"use_global_stats": 1, "eps": 3}),
    "scale_param": (142, None, {"axis": 1, "num_axes": 2, "bias_term": 4}),
    "input_param": (143, None, {"shape": 1}),
    "data_param": (107, 11, {"scale": 2, "mean_file": 3, "crop_size": 5}),
    "transform_param": (100, 36, {"scale": 1, "crop_size": 3, "mean_file": 4, "mean_value": 5}),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_the_numbers_of_messages_and_of_their_fields(name):
    layer, old, numbers = NUMBERS[name]
    for title, number in (("LayerParameter", layer), ("V1LayerParameter", old)):
        known = files.message(title).DESCRIPTOR.fields_by_name
        assert (known[name].number if name in known else None) == number
    fields = (
        files.message("LayerParameter").DESCRIPTOR.fields_by_name[name].message_type.fields_by_name
    )
    assert {field: fields[field].number for field in numbers} == numbers


def test_branches_of_version_1(tmp_path):
    """The same net in both versions: Concat, Eltwise, and a Split that Caffe put in."""
    text = """
    input: "x" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
    layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 4 kernel_size: 3 } }
    layer { name: "split" type: "Split" bottom: "c" top: "c_0" top: "c_1" }
    layer { name: "r" type: "ReLU" bottom: "c_0" top: "c_0" }
    layer { name: "e" type: "Eltwise" bottom: "c_0" bottom: "c_1" top: "e" eltwise_param { coeff: 1 coeff: -0.5 } }
    layer { name: "k" type: "Concat" bottom: "e" bottom: "c_1" top: "k" concat_param { concat_dim: 1 } }
    layer { name: "flat" type: "Flatten" bottom: "k" top: "flat" }
    layer { name: "f" type: "InnerProduct" bottom: "flat" top: "f" inner_product_param { num_output: 3 } }
    layer { name: "prob" type: "Softmax" bottom: "f" top: "prob" }
    """
    old = text.replace("layer {", "layers {")
    for new, name in (
        ("Convolution", "CONVOLUTION"), ("Split", "SPLIT"), ("ReLU", "RELU"), ("Eltwise", "ELTWISE"),
        ("Concat", "CONCAT"), ("Flatten", "FLATTEN"), ("InnerProduct", "INNER_PRODUCT"), ("Softmax", "SOFTMAX"),
    ):  # fmt: skip
        old = old.replace(f'"{new}"', name)
    shapes = {"c": [(4, 3, 3, 3), (4,)], "f": [(3, 8 * 49), (3,)]}
    nets = [import_net(write(tmp_path, files.caffemodel(one, shapes))) for one in (text, old)]
    assert list(nets[0].net.nodes) == ["c", "r", "e/c_1", "e", "k", "f"] == list(nets[1].net.nodes)
    compare(nets[0], images(9))
    compare(nets[1], images(9))


# What is refused, and how


def deploy(*changes):
    text = files.DEPLOY
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return text


@pytest.mark.parametrize(
    "text, message",
    [
        (
            deploy(('"ReLU" bottom: "fc6"', '"PReLU" bottom: "fc6"')),
            "a layer 'relu6' of type PReLU: an activation other.*InnerProduct",
        ),
        (
            deploy(('top: "fc7"', 'top: "fc7" top: "more"')),
            "a layer 'fc7' of type InnerProduct.*makes 2 blobs",
        ),
        (deploy(('bottom: "pool2"', 'bottom: "pool1"')), "2 outputs.*'pool2', 'prob'.*--output"),
        (
            deploy(
                ('type: "Dropout" bottom: "fc6"', 'type: "Eltwise" bottom: "fc6" bottom: "pool1"')
            ),
            "'drop6' of type Eltwise.*flattened",
        ),
        (
            deploy(("kernel_size: 5 group: 2", "kernel_size: 5 group: 2 dilation: 0")),
            "'conv2'.*dilated",
        ),
        (deploy(("group: 2", "group: 3")), "'conv2'"),
        (deploy(("local_size: 5", "local_size: 4")), "'norm1'.*odd"),
        (deploy(("local_size: 5", "norm_region: WITHIN_CHANNEL")), "'norm1'.*within"),
        (
            deploy(("pool: MAX kernel_size: 3", "pool: STOCHASTIC kernel_size: 3")),
            "'pool1'.*stochastic",
        ),
        (
            deploy(("pool: MAX kernel_size: 3 stride: 2", "pool: MAX kernel_size: 1 stride: 3")),
            "'pool1'.*outside the map",
        ),
        (deploy(("kernel_size: 3", "kernel_size: 300000000")), "'pool1'.*kernel"),
        (
            deploy(('top: "fc6" }', 'top: "fc6" relu_param { negative_slope: 0.1 } }')),
            "'relu6'.*slope.*0.1",
        ),
        (deploy(('name: "fc7"', 'name: "fc9"')), "'fc9'.*0 of the arrays that it needs"),
        (deploy(("num_output: 7", "num_output: 8")), "'fc6'.*700 numbers"),
        (deploy(("input_dim: 40", "input_dim: 0")), "no sensible size"),
        (deploy(('input: "data"', "")), "no layer of data and no input"),
        (
            deploy(("input_dim: 1 input_dim: 3 input_dim: 40 input_dim: 40", "")),
            "how large.*--prototxt.*--size",
        ),
        (
            deploy(('type: "Softmax" bottom: "fc7"', 'type: "ReLU" bottom: "fc7"')),
            "does not end in",
        ),
        ('layers { layer { type: "conv" } }', "first format.*upgrade_net_proto_binary"),
        ("no net {", "deploy.prototxt, which is no net in Caffe's text form"),
        ("# long\n" * 200_000, "longer than 256 KB"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(text, message, tmp_path):
    path = write(tmp_path, files.caffemodel(files.DEPLOY, files.SHAPES))
    with pytest.raises(RawconvError, match=message):
        import_net(path, Wanted(prototxt=write(tmp_path, text, "deploy.prototxt")))


@pytest.mark.parametrize(
    "data", [b"\xa2\x06\0" * 70_000, b"\xa2\x06" + varint(140_000) + b"\x3a\0" * 70_000]
)
def test_a_small_file_of_very_many_layers_or_arrays(data, tmp_path):
    with pytest.raises(RawconvError, match="more than 65536 fields"):
        import_net(write(tmp_path, data, "net.caffemodel"))


def test_options_of_other_formats_are_refused(tmp_path):
    path = write(tmp_path, files.caffemodel(files.DEPLOY, files.SHAPES))
    with pytest.raises(UsageError, match="format Caffe, to which --arch says nothing"):
        import_net(path, Wanted(arch="alexnet"))
    with pytest.raises(UsageError, match="no file .*nowhere.prototxt"):
        import_net(path, Wanted(prototxt="nowhere.prototxt"))


def test_the_command_asks_opencv(tmp_path):
    write(tmp_path, files.caffemodel(files.DEPLOY, files.SHAPES))
    write(tmp_path, files.DEPLOY, "deploy.prototxt")
    Image.fromarray(images(60, 1)[0]).save(tmp_path / "p.png")
    words = [
        "net.caffemodel",
        "out.h5",
        "--prototxt",
        "deploy.prototxt",
        "--mean",
        "100,110,120",
        "--resize",
        "44",
    ]
    words += ["--verify", "p.png"] if _has_opencv() else []
    done = subprocess.run(
        [sys.executable, "-m", "rawconv.cli.import_", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said = checkpoint.load(tmp_path / "out.h5").info["imported"]
    assert (
        said["conventions"]["channel order"] == "bgr to rgb, in the first layer"
        and "deploy.prototxt" in said["files"]
    )
    assert said["pixels"] == "bgr, minus 100 110 120"
    if _has_opencv():
        assert said["verified"]["difference"] < 1e-5 and "opencv" in said["verified"]["with"]
        assert (
            verify(import_net(tmp_path / "net.caffemodel"), tmp_path / "p.png")["difference"] < 1e-5
        )


def _has_opencv():
    try:
        import cv2
    except ImportError:
        return False
    return hasattr(cv2.dnn, "readNetFromCaffe")


def test_fields_are_counted_one_by_one_into_the_messages_inside():
    """Against protobuf's own list of what is set, in its order, a message before what is in it."""
    from rawconv.convert.caffe_schema import fields

    def listed(message):
        for descriptor, value in message.ListFields():
            for one in value if descriptor.is_repeated else [value]:
                yield descriptor.number
                if descriptor.message_type:
                    yield from listed(one)

    data = files.caffemodel(files.DEPLOY, files.SHAPES)
    message = files.network("")
    message.ParseFromString(data)
    assert sorted(fields(data)) == sorted(listed(message)) and len(list(fields(data))) > 100
