"""Small files of Caffe, from its text form and random weights, which OpenCV reads too."""

import io

import h5py
import numpy as np

from rawconv.convert.caffe_schema import message


def network(text):
    from google.protobuf import text_format

    return text_format.Parse(text, message("NetParameter")(), allow_unknown_field=True)


def caffemodel(text, shapes, seed=0, old=False):
    """Bytes of the net in `text` with random blobs: shapes {layer name: [shape, ...]}.  old: 4
    dimensions by name.
    """
    net, rng = network(text), np.random.default_rng(seed)
    for layer in [*net.layer, *net.layers]:
        for i, shape in enumerate(shapes.get(layer.name, ())):
            std = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.3
            fill(
                layer.blobs.add(),
                (rng.standard_normal(shape) * std + (i > 0)).astype(np.float32),
                old,
            )
    return net.SerializeToString()


def fill(blob, array, old=False):
    if old:
        dims = (1,) * (4 - array.ndim) + array.shape
        blob.num, blob.channels, blob.height, blob.width = dims
    else:
        blob.shape.dim.extend(array.shape)
    kind = blob.double_data if array.dtype == np.float64 else blob.data
    kind.append(array.tobytes())
    return blob


def hdf5(blobs):
    """Bytes of a .caffemodel.h5 with {name of a layer: [array]}, as Caffe's Net::ToHDF5 lays them out."""
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, arrays in blobs.items():
            group = file.create_group(f"data/{name}")
            for number, array in enumerate(arrays):
                group[str(number)] = array
        file["data"].create_group("relu1")  # a layer without weights has a group too
    return out.getvalue()


# Norm before pool as in bvlc_alexnet, groups, a padded pool that clips its last window, everything
# in place.
DEPLOY = """
name: "SmallCaffe"
input: "data" input_dim: 1 input_dim: 3 input_dim: 40 input_dim: 40
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 }
        convolution_param { num_output: 8 kernel_size: 5 stride: 2 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 5 alpha: 0.3 beta: 0.75 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
        pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
        convolution_param { num_output: 6 pad: 2 kernel_size: 5 group: 2 } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
        pooling_param { pool: MAX kernel_size: 2 stride: 2 pad: 1 } }
layer { name: "conv3" type: "Convolution" bottom: "pool2" top: "conv3"
        convolution_param { num_output: 4 kernel_h: 3 kernel_w: 1 pad_h: 1 pad_w: 0 bias_term: false } }
layer { name: "fc6" type: "InnerProduct" bottom: "conv3" top: "fc6" inner_product_param { num_output: 7 } }
layer { name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }
layer { name: "drop6" type: "Dropout" bottom: "fc6" top: "fc6" dropout_param { dropout_ratio: 0.5 } }
layer { name: "fc7" type: "InnerProduct" bottom: "fc6" top: "fc7" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc7" top: "prob" }
"""
SHAPES = {
    "conv1": [(8, 3, 5, 5), (8,)], "conv2": [(6, 4, 5, 5), (6,)], "conv3": [(4, 6, 3, 1)],
    "fc6": [(7, 4 * 5 * 5), (7,)], "fc7": [(5, 7), (5,)],
}  # fmt: skip

# Version 1, as it was trained: data with a crop, two phases, a loss, labels that are split.
TRAINED = """
name: "OldCaffe"
layers { name: "data" type: DATA top: "data" top: "label" include { phase: TRAIN }
         transform_param { crop_size: 38 mean_value: 104 mean_value: 117 mean_value: 123 mirror: true scale: 0.02 } }
layers { name: "data" type: DATA top: "data" top: "label" include { phase: TEST }
         transform_param { crop_size: 38 mean_value: 100 mean_value: 110 mean_value: 120 scale: 0.02 } }
layers { name: "split" type: SPLIT bottom: "label" top: "label_0" top: "label_1" }
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" blobs_lr: 1 blobs_lr: 2
         convolution_param { num_output: 8 kernel_size: 5 stride: 2 } }
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
layers { name: "pool1" type: POOLING bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layers { name: "norm1" type: LRN bottom: "pool1" top: "norm1" lrn_param { local_size: 3 alpha: 0.2 beta: 0.5 } }
layers { name: "noise" type: DROPOUT bottom: "norm1" top: "norm1" include { phase: TRAIN } }
layers { name: "average" type: POOLING bottom: "norm1" top: "average"
         pooling_param { pool: AVE kernel_size: 4 stride: 2 pad: 1 } }
layers { name: "fc8" type: INNER_PRODUCT bottom: "average" top: "fc8" inner_product_param { num_output: 5 } }
layers { name: "fc8_split" type: SPLIT bottom: "fc8" top: "fc8_0" top: "fc8_1" }
layers { name: "accuracy" type: ACCURACY bottom: "fc8_0" bottom: "label_0" top: "accuracy" include { phase: TEST } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "fc8_1" bottom: "label_1" }
"""
OLD_SHAPES = {"conv1": [(8, 3, 5, 5), (8,)], "fc8": [(5, 8 * 4 * 4), (5,)]}
