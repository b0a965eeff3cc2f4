"""Small nets with the constructs of those that were published for Caffe, written here, and what PyTorch makes of them.

Each is a text and the blobs of its layers; `run` is a witness of its own: it goes through the text layer by layer,
over a dictionary of blobs as Caffe does, with PyTorch's functions in float64.
"""

import caffe_files as files
import numpy as np


class Text:
    """Layers one below the other; each takes the blob made last unless `bottom` says otherwise."""

    def __init__(self, size, channels=3):
        self.lines = [
            f'input: "data" input_shape {{ dim: 1 dim: {channels} dim: {size} dim: {size} }}'
        ]
        self.last, self.blobs, self.channels = "data", {}, {"data": channels}
        self.rng = np.random.default_rng(0)

    def add(self, name, kind, about="", bottom=None, top=None):
        """top: "=" in place, by default the layer's name."""
        bottoms = [bottom or self.last] if not isinstance(bottom, (list, tuple)) else list(bottom)
        top = bottoms[0] if top == "=" else top or name
        parts = [
            f'name: "{name}" type: "{kind}"',
            *(f'bottom: "{one}"' for one in bottoms),
            f'top: "{top}"',
            about,
        ]
        self.lines.append(f"layer {{ {' '.join(filter(None, parts))} }}")
        self.last = top
        if kind == "Concat":
            self.channels[top] = sum(self.channels[one] for one in bottoms)
        else:
            self.channels[top] = self.channels.get(bottoms[0], 0)
        return self

    def conv(self, name, filters, size, more="", bottom=None, group=1, bias=True):
        channels = self.channels[bottom or self.last]
        about = f"num_output: {filters} kernel_size: {size} {more}" + f" group: {group}" * (
            group > 1
        )
        about += "" if bias else " bias_term: false"
        self.add(name, "Convolution", f"convolution_param {{ {about} }}", bottom)
        self.channels[self.last] = filters
        weight = self.rng.standard_normal((filters, channels // group, size, size))
        self._keep(
            name,
            weight * np.sqrt(2 / weight[0].size),
            *([self.rng.standard_normal(filters)] if bias else []),
        )
        return self

    def norm(self, name, eps=1e-5, bottom=None, top="=", more=""):
        """BatchNorm, whose sums are of 4 batches, and Scale, as everybody writes them."""
        count = self.channels[bottom or self.last]
        self.add(
            f"bn_{name}", "BatchNorm", f"batch_norm_param {{ eps: {eps} {more} }}", bottom, top
        )
        self._keep(
            f"bn_{name}",
            self.rng.standard_normal(count),
            self.rng.uniform(2, 6, count),
            np.array([4.0]),
        )
        self.add(f"scale_{name}", "Scale", "scale_param { bias_term: true }", top="=")
        self._keep(
            f"scale_{name}",
            self.rng.uniform(0.5, 1.5, count),
            self.rng.standard_normal(count) * 0.2,
        )
        return self

    def relu(self, name):
        return self.add(name, "ReLU", top="=")

    def pool(self, name, about, bottom=None):
        return self.add(name, "Pooling", f"pooling_param {{ {about} }}", bottom)

    def fc(self, name, filters, places):
        about = f"inner_product_param {{ num_output: {filters} }}"
        count = places * self.channels[self.last]
        self.add(name, "InnerProduct", about)
        self.channels[self.last] = filters
        self._keep(
            name,
            self.rng.standard_normal((filters, count)) / np.sqrt(count),
            self.rng.standard_normal(filters),
        )
        return self

    def _keep(self, name, *arrays):
        self.blobs[name] = [array.astype(np.float32) for array in arrays]

    def __str__(self):
        return "\n".join(self.lines)

    def model(self):
        """The NetParameter with the blobs in it."""
        net = files.network(str(self))
        for layer in net.layer:
            for array in self.blobs.get(layer.name, ()):
                files.fill(layer.blobs.add(), array)
        return net


def caffenet():
    """Pool before norm, groups, fully connected layers."""
    net = (
        Text(43)
        .conv("conv1", 8, 7, "stride: 2")
        .relu("relu1")
        .pool("pool1", "pool: MAX kernel_size: 3 stride: 2")
    )
    net.add("norm1", "LRN", "lrn_param { local_size: 5 alpha: 0.5 beta: 0.75 }")
    net.conv("conv2", 8, 5, "pad: 2", group=2).relu("relu2").pool(
        "pool2", "pool: MAX kernel_size: 3 stride: 2"
    )
    net.fc("fc6", 9, 16).relu("relu6").add(
        "drop6", "Dropout", "dropout_param { dropout_ratio: 0.5 }", top="="
    )
    return net.fc("fc8", 6, 1).add("prob", "Softmax")


def googlenet():
    """Inception: four branches and their Concat, of which one pools with padding; a global average by its size."""
    net = Text(35).conv("conv1/7x7_s2", 6, 7, "stride: 2 pad: 3").relu("conv1/relu_7x7")
    net.pool("pool1/3x3_s2", "pool: MAX kernel_size: 3 stride: 2")
    net.add("pool1/norm1", "LRN", "lrn_param { local_size: 5 alpha: 0.3 beta: 0.75 }")
    for block in ("3a", "3b"):
        name, below = f"inception_{block}", net.last
        net.conv(f"{name}/1x1", 4, 1, bottom=below).relu(f"{name}/relu_1x1")
        net.conv(f"{name}/3x3_reduce", 3, 1, bottom=below).relu(f"{name}/relu_3x3_reduce")
        net.conv(f"{name}/3x3", 5, 3, "pad: 1").relu(f"{name}/relu_3x3")
        net.conv(f"{name}/5x5_reduce", 2, 1, bottom=below).relu(f"{name}/relu_5x5_reduce")
        net.conv(f"{name}/5x5", 3, 5, "pad: 2").relu(f"{name}/relu_5x5")
        net.pool(f"{name}/pool", "pool: MAX kernel_size: 3 stride: 1 pad: 1", below)
        net.conv(f"{name}/pool_proj", 2, 1).relu(f"{name}/relu_pool_proj")
        parts = [f"{name}/{part}" for part in ("1x1", "3x3", "5x5", "pool_proj")]
        net.add(f"{name}/output", "Concat", "", parts)
    net.pool("pool5", "pool: AVE kernel_size: 9 stride: 1")
    net.add("pool5/drop", "Dropout", "dropout_param { dropout_ratio: 0.4 }", top="=")
    return net.fc("loss3/classifier", 7, 1).add("prob", "Softmax")


def squeezenet():
    """Fire modules; the classes are maps, averaged over all of them."""
    net = (
        Text(39)
        .conv("conv1", 6, 3, "stride: 2")
        .relu("relu_conv1")
        .pool("pool1", "pool: MAX kernel_size: 3 stride: 2")
    )
    for number in (2, 3):
        name = f"fire{number}"
        net.conv(f"{name}/squeeze1x1", 3, 1).relu(f"{name}/relu_squeeze1x1")
        below = net.last
        net.conv(f"{name}/expand1x1", 4, 1, bottom=below).relu(f"{name}/relu_expand1x1")
        net.conv(f"{name}/expand3x3", 4, 3, "pad: 1", bottom=below).relu(f"{name}/relu_expand3x3")
        net.add(
            f"{name}/concat",
            "Concat",
            "concat_param { concat_dim: 1 }",
            [f"{name}/expand1x1", f"{name}/expand3x3"],
        )
    net.add("drop9", "Dropout", "dropout_param { dropout_ratio: 0.5 }", top="=")
    net.conv("conv10", 7, 1, "pad: 1").relu("relu_conv10").pool(
        "pool10", "pool: AVE global_pooling: true"
    )
    return net.add("prob", "Softmax")


def resnet():
    """He's: conv, BatchNorm and Scale in place; sums of a projection and a branch, of a blob and a branch."""
    net = (
        Text(35)
        .conv("conv1", 6, 7, "stride: 2 pad: 3")
        .norm("conv1", more="use_global_stats: true")
        .relu("conv1_relu")
    )
    net.pool("pool1", "pool: MAX kernel_size: 3 stride: 2")
    below = net.last
    net.conv("res2a_branch1", 8, 1, bottom=below, bias=False).norm("2a_branch1")
    net.conv("res2a_branch2a", 4, 1, bottom=below, bias=False).norm("2a_branch2a").relu(
        "res2a_branch2a_relu"
    )
    net.conv("res2a_branch2b", 8, 3, "pad: 1", bias=False).norm("2a_branch2b")
    net.add("res2a", "Eltwise", "", ["res2a_branch1", "res2a_branch2b"]).relu("res2a_relu")
    net.conv("res2b_branch2a", 8, 3, "pad: 1 stride: 1", bottom="res2a", bias=False).norm(
        "2b_branch2a", eps=1e-3
    )
    net.add(
        "res2b", "Eltwise", "eltwise_param { operation: SUM }", ["res2a", "res2b_branch2a"]
    ).relu("res2b_relu")
    net.pool("pool5", "pool: AVE kernel_size: 9 stride: 1")
    return net.fc("fc1000", 7, 1).add("prob", "Softmax")


def densenet():
    """Norms before convolutions, of blobs that others take too; scores from a convolution of 1x1, no softmax."""
    net = (
        Text(32)
        .conv("conv1", 6, 7, "stride: 2 pad: 3", bias=False)
        .norm("conv1", top="conv1/bn")
        .relu("relu1")
    )
    net.pool("pool1", "pool: MAX kernel_size: 3 stride: 2 pad: 1")
    for number in (1, 2):
        below, name = net.last, f"conv2_{number}"
        net.norm(f"{name}_x1", bottom=below, top=f"{name}/x1/bn").relu(f"relu2_{number}_x1")
        net.conv(f"{name}/x1", 5, 1, bias=False).norm(f"{name}_x2", top=f"{name}/x2/bn").relu(
            f"relu2_{number}_x2"
        )
        net.conv(f"{name}/x2", 3, 3, "pad: 1", bias=False)
        net.add(f"concat_2_{number}", "Concat", "concat_param { axis: 1 }", [below, f"{name}/x2"])
    net.norm("conv2_blk", top="conv2_blk/bn").relu("relu2_blk").conv("conv2_blk", 6, 1, bias=False)
    net.pool("pool2", "pool: AVE kernel_size: 2 stride: 2").norm("conv5", top="conv5/bn").relu(
        "relu5"
    )
    return net.pool("pool5", "pool: AVE global_pooling: true").conv("fc6", 7, 1)


def mobilenet():
    """Depthwise convolutions as groups of one map."""
    net = Text(33).conv("conv1", 4, 3, "pad: 1 stride: 2", bias=False).norm("conv1").relu("relu1")
    for number, (filters, stride) in enumerate([(6, 1), (8, 2)], 2):
        depth = net.channels[net.last]
        net.conv(
            f"conv{number}/dw",
            depth,
            3,
            f"pad: 1 stride: {stride} engine: CAFFE",
            group=depth,
            bias=False,
        )
        net.norm(f"conv{number}/dw").relu(f"relu{number}/dw").conv(
            f"conv{number}/sep", filters, 1, bias=False
        )
        net.norm(f"conv{number}/sep").relu(f"relu{number}/sep")
    return (
        net.pool("pool6", "pool: AVE global_pooling: true").conv("fc7", 7, 1).add("prob", "Softmax")
    )


def mixture(scalar=()):
    """What none of them has: coefficients, averages that hang over a padded border, dilation, scalars, a flattened
    Concat, a norm right on the picture, a blob added to itself, maps that round down.

    scalar: the shape of the scalars; OpenCV does not read Caffe's own, ().
    """
    net = Text(23).norm("data", top="data/bn").conv("c", 6, 3, "pad: 2 dilation: 2").relu("r")
    net.pool("p", "pool: AVE kernel_size: 3 stride: 2 pad: 1", "c").pool(
        "q", "pool: MAX kernel_size: 2 stride: 2", "c"
    )
    net.add("d", "Eltwise", "eltwise_param { coeff: 0.5 coeff: -2 coeff: 1 }", ["p", "q", "q"])
    net.add("s", "Scale", "scale_param { num_axes: 0 bias_term: true }", top="=")
    net._keep("s", np.full(scalar, 1.5), np.full(scalar, -0.25))
    net.add("e", "Eltwise", "eltwise_param { coeff: 1 coeff: 3 }", ["d", "d"]).relu("e_relu")
    net.pool("a", "pool: AVE kernel_size: 4 stride: 3 ceil_mode: false", "e").add("f", "Flatten")
    net.pool("b", "pool: MAX kernel_size: 4 stride: 3 round_mode: FLOOR", "e").add("g", "Flatten")
    net.add("h", "Concat", "", ["f", "g"])
    return net.fc("scores", 5, 9)


NETS = {
    "CaffeNet": caffenet, "GoogLeNet": googlenet, "SqueezeNet": squeezenet, "ResNet": resnet, "DenseNet": densenet,
    "MobileNet": mobilenet, "a mixture": mixture,
}  # fmt: skip


# The witness


def run(net, blobs, x):
    """{name of a layer: what it makes} of a net, a NetParameter of version 2, for x (N, C, H, W), in PyTorch's
    float64.
    """
    import torch

    state, made = {net.input[0]: torch.as_tensor(x, dtype=torch.float64)}, {}
    with torch.no_grad():
        for layer in net.layer:
            arrays = [
                torch.as_tensor(np.array(one), dtype=torch.float64)
                for one in blobs.get(layer.name, ())
            ]
            made[layer.name] = DOES[layer.type](
                layer, arrays, *(state[name] for name in layer.bottom)
            )
            state[layer.top[0]] = made[layer.name]
    return {name: value.numpy() for name, value in made.items()}


def _convolution(layer, arrays, x):
    from torch.nn.functional import conv2d

    about = layer.convolution_param
    stride, pad, dilation = ((one[0] if one else default) for one, default in
                             ((about.stride, 1), (about.pad, 0), (about.dilation, 1)))  # fmt: skip
    return conv2d(
        x, arrays[0], arrays[1] if about.bias_term else None, stride, pad, dilation, about.group
    )


def _pooling(layer, arrays, x):
    """Caffe's pooling_layer.cpp, window by window."""
    import torch

    about, (height, width) = layer.pooling_param, x.shape[2:]
    k, s, p = (one[0] if one else default for one, default in
               ((about.kernel_size, 0), (about.stride, 1), (about.pad, 0)))  # fmt: skip
    kh, kw = (height, width) if about.global_pooling else (k, k)
    down = about.round_mode == 1 or (about.HasField("ceil_mode") and not about.ceil_mode)
    rows, columns = ((size + 2 * p - one) / s for size, one in ((height, kh), (width, kw)))
    rows, columns = (int(np.floor(one) if down else np.ceil(one)) + 1 for one in (rows, columns))
    rows, columns = (
        n - (p > 0 and (n - 1) * s >= size + p) for n, size in ((rows, height), (columns, width))
    )
    y = torch.empty(*x.shape[:2], rows, columns, dtype=x.dtype)
    for i in range(rows):
        for j in range(columns):
            top, left = i * s - p, j * s - p
            bottom, right = min(top + kh, height + p), min(left + kw, width + p)
            count = (bottom - top) * (right - left)
            window = x[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
            y[:, :, i, j] = window.amax((2, 3)) if about.pool == 0 else window.sum((2, 3)) / count
    return y


def _lrn(layer, arrays, x):
    from torch.nn.functional import local_response_norm

    about = layer.lrn_param
    return local_response_norm(x, about.local_size, about.alpha, about.beta, about.k)


def _batch_norm(layer, arrays, x):
    mean, variance, weight = arrays
    mean, variance = (
        (one / weight).reshape(1, -1, *[1] * (x.ndim - 2)) for one in (mean, variance)
    )
    return (x - mean) / (variance + layer.batch_norm_param.eps).sqrt()


def _scale(layer, arrays, x):
    factor, shift = (one.reshape(-1, *[1] * (x.ndim - 2)) for one in arrays)
    return x * factor + shift


def _eltwise(layer, arrays, *values):
    factors = layer.eltwise_param.coeff or [1] * len(values)
    return sum(factor * value for factor, value in zip(factors, values, strict=True))


def _concat(layer, arrays, *values):
    import torch

    return torch.cat(values, 1)


DOES = {
    "Convolution": _convolution, "Pooling": _pooling, "LRN": _lrn, "BatchNorm": _batch_norm, "Scale": _scale,
    "Eltwise": _eltwise, "Concat": _concat, "Flatten": lambda layer, arrays, x: x.flatten(1),
    "InnerProduct": lambda layer, arrays, x: x.flatten(1) @ arrays[0].T + arrays[1],
    "ReLU": lambda layer, arrays, x: x.clamp(min=0), "Dropout": lambda layer, arrays, x: x,
    "Softmax": lambda layer, arrays, x: x.softmax(1),
}  # fmt: skip
