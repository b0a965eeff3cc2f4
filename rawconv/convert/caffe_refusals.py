"""Why a layer of Caffe is refused, by what it is: a deconvnet is defined for nets of ReLUs and max pools."""

ADVICE = "Train a net of these, or name with --output a blob below it."
TAKEN = (
    "Convolution, InnerProduct, ReLU, Pooling, LRN, BatchNorm, Scale, Eltwise, Concat, Dropout, Flatten, and a Softmax "
    "at the end"
)
WHAT = {
    **dict.fromkeys(
        ("PReLU", "ELU", "Sigmoid", "TanH", "BNLL", "AbsVal", "Exp", "Log", "Power", "Swish", "Threshold"),
        "an activation other than the ReLU",
    ),
    **dict.fromkeys(("Deconvolution", "Interp", "Upsample", "Unpooling"),
                    "an increase in resolution, as decoders and segmentation have"),
    **dict.fromkeys(("Slice", "Permute", "Reshape", "Crop", "ShuffleChannel", "Reorg"),
                    "a split or a new order of maps, as ShuffleNet and detectors have"),
    **dict.fromkeys(("MVN", "Normalize"), "a norm by each picture's own numbers"),
    **dict.fromkeys(("LSTM", "RNN", "Recurrent"), "a recurrent net"),
    **dict.fromkeys(("ROIPooling", "PriorBox", "DetectionOutput", "Proposal"), "the end of a detector"),
    **dict.fromkeys(("Python",), "a program, which rawconv does not run"),
    **dict.fromkeys(("Softmax",), "a softmax within the net, as attention has"),
}  # fmt: skip
