"""What onnxruntime makes of a picture with a user's own ONNX file, at any tensor of its graph: the
witness of --verify.
"""

import math

import numpy as np

from .onnx_graph import onnx_package

TYPES = {"tensor(float16)": np.float16, "tensor(double)": np.float64}


def run(graph, image, x, tensors):
    """[the values of `tensors`] of x (N, C, H, W), which is given to the input `image` of a Graph.

    x is in the file's order of channels, and turned where its input has them last.  The file's
    weights beside it are found where it lies.
    """
    import onnxruntime

    onnx, model = onnx_package(), graph.model
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in tensors if name not in known
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", graph.folder
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = next(one for one in session.get_inputs() if one.name == image)
    channels_last = given.shape[3] in (1, 3) and given.shape[1] not in (1, 3)
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1) if channels_last else x, TYPES.get(given.type))
    return session.run(tensors, {image: x})


def in_our_order(array, value):
    """The array of a Value of the walk (onnx_walk.py) as (N, H, W, C)."""
    height, width, channels = value.shape
    count = array.size // math.prod(value.shape)
    if value.last:
        return array.reshape(count, height, width, channels)
    return array.reshape(count, channels, height, width).transpose(0, 2, 3, 1)
