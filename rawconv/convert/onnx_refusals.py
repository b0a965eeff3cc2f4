"""Why an operator is refused, by what it is: a deconvnet is defined for nets of ReLUs and max pools."""

ACTIVATIONS = (
    "Sigmoid", "Tanh", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "HardSigmoid", "HardSwish", "Softplus",
    "Softsign", "ThresholdedRelu", "Mish", "Swish",
)  # fmt: skip
WHAT = {
    **{name: f"{name}, an activation other than the ReLU" for name in ACTIVATIONS},
    **dict.fromkeys(("Sigmoid",), "a sigmoid inside the net, as SiLU, gates and squeeze-and-excitation have"),
    **dict.fromkeys(("Gelu", "Erf"), "GELU, an activation other than the ReLU"),
    **dict.fromkeys(("HardSigmoid", "HardSwish"), "a hard sigmoid or swish, an activation other than the ReLU"),
    **dict.fromkeys(("Attention", "MultiHeadAttention", "Einsum"), "attention, as transformers have"),
    **dict.fromkeys(
        ("LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "LpNormalization",
         "MeanVarianceNormalization", "ReduceVariance"),
        "a norm by each picture's own numbers",
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), "a recurrent net"),
    **dict.fromkeys(("If", "Loop", "Scan"), "control flow, a program and no fixed net"),
    **dict.fromkeys(("ConvTranspose", "DepthToSpace", "MaxUnpool", "GridSample", "Resize", "Upsample"),
                    "an increase in resolution, as decoders and segmentation have"),
    **dict.fromkeys(("Split", "Gather", "Slice", "SpaceToDepth"), "a split of maps, as ShuffleNet and detectors have"),
    **dict.fromkeys(("NonMaxSuppression", "TopK", "RoiAlign", "MaxRoiPool"), "the end of a detector"),
    **dict.fromkeys(
        ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger", "DynamicQuantizeLinear", "QLinearMatMul"),
        "quantised arithmetic; export the net in floating point",
    ),
}  # fmt: skip
TAKEN = (
    "Conv, Relu, LRN, MaxPool, AveragePool, BatchNormalization, Add, Concat, Gemm, MatMul, Pad, Clip from 0, global "
    "pools, Flatten, Reshape, Transpose, Dropout, and Softmax or Sigmoid at the end"
)


def refusal(node, walk, after=None):
    """The end of a sentence: what the operator is, and what rawconv takes.  after: the node that
    takes its output.
    """
    what = WHAT.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if after is not None and after.op_type == "Mul" and node.input[0] in after.input:
        what = "SiLU (x times its sigmoid), an activation other than the ReLU"
    if after is not None and after.op_type == "MatMul" and node.op_type == "Softmax":
        what = "attention, as transformers have"
    what = f": {what}" if what else ""
    return f"{what}; rawconv takes nets of {TAKEN}"


def product(node, walk):
    """Why a product, quotient or difference of two values is refused."""
    if node.op_type == "Mul":
        return "a product of maps, as attention, gates and squeeze-and-excitation have; maps may only be added"
    return f"the {'quotient' if node.op_type == 'Div' else 'difference'} of two maps, where maps may only be added"
