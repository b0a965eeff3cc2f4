"""Caffe's messages, as far as a net needs them: a description for the protobuf library, made when
first asked for.

Numbers and names are those of caffe.proto (BVLC, version 1); what is not listed is skipped by the
library.  A packed list of floats is, in the file, its bytes, and is read as such: a hundred million
weights need not become Python's.
"""

import functools

from ..errors import RawconvError
from .formats import varint

# The number of ceil_mode, which only text can hold: where forks of Caffe have it, BVLC's round_mode is.
NOWHERE = (1 << 29) - 1
# message: "name type number default", a star after the type for a list; a default where it is none of 0,
# false and "".
MESSAGES = {
    "NetParameter": "name string 1, layers V1LayerParameter* 2, input string* 3, input_dim int64* 4, "
    "input_shape BlobShape* 8, layer LayerParameter* 100",
    "BlobShape": "dim int64* 1",
    "BlobProto": "num int64 1, channels int64 2, height int64 3, width int64 4, data bytes* 5, shape BlobShape 7, "
    "double_data bytes* 8",
    "NetStateRule": "phase Phase 1, min_level int32 2, max_level int32 3, stage string* 4",
    "LayerParameter": "name string 1, type string 2, bottom string* 3, top string* 4, blobs BlobProto* 7, "
    "include NetStateRule* 8, exclude NetStateRule* 9, transform_param TransformationParameter 100, "
    "concat_param ConcatParameter 104, convolution_param ConvolutionParameter 106, data_param DataParameter 107, "
    "dropout_param DropoutParameter 108, eltwise_param EltwiseParameter 110, image_data_param DataParameter 115, "
    "inner_product_param InnerProductParameter 117, lrn_param LRNParameter 118, "
    "memory_data_param MemoryDataParameter 119, pooling_param PoolingParameter 121, relu_param ReLUParameter 123, "
    "softmax_param SoftmaxParameter 125, flatten_param FlattenParameter 135, batch_norm_param BatchNormParameter 139, "
    "scale_param ScaleParameter 142, input_param InputParameter 143",
    "V1LayerParameter": "layer V0LayerParameter 1, bottom string* 2, top string* 3, name string 4, type V1Type 5, "
    "blobs BlobProto* 6, concat_param ConcatParameter 9, convolution_param ConvolutionParameter 10, "
    "data_param DataParameter 11, dropout_param DropoutParameter 12, image_data_param DataParameter 15, "
    "inner_product_param InnerProductParameter 17, lrn_param LRNParameter 18, pooling_param PoolingParameter 19, "
    "memory_data_param MemoryDataParameter 22, eltwise_param EltwiseParameter 24, relu_param ReLUParameter 30, "
    "include NetStateRule* 32, exclude NetStateRule* 33, transform_param TransformationParameter 36, "
    "softmax_param SoftmaxParameter 39",
    "V0LayerParameter": "type string 2",
    "TransformationParameter": "scale float 1 1, crop_size uint32 3, mean_file string 4, mean_value float* 5",
    "DataParameter": "scale float 2 1, mean_file string 3, crop_size uint32 5",
    "MemoryDataParameter": "channels uint32 2, height uint32 3, width uint32 4",
    "InputParameter": "shape BlobShape* 1",
    "ConcatParameter": "concat_dim uint32 1 1, axis int32 2 1",
    "ConvolutionParameter": "num_output uint32 1, bias_term bool 2 true, pad uint32* 3, kernel_size uint32* 4, "
    "group uint32 5 1, stride uint32* 6, pad_h uint32 9, pad_w uint32 10, kernel_h uint32 11, kernel_w uint32 12, "
    "stride_h uint32 13, stride_w uint32 14, axis int32 16 1, dilation uint32* 18",
    "EltwiseParameter": "operation EltwiseOp 1 SUM, coeff float* 2",
    "FlattenParameter": "axis int32 1 1, end_axis int32 2 -1",
    "PoolingParameter": "pool PoolMethod 1, kernel_size uint32* 2, stride uint32* 3, pad uint32* 4, kernel_h uint32 5, "
    "kernel_w uint32 6, stride_h uint32 7, stride_w uint32 8, pad_h uint32 9, pad_w uint32 10, global_pooling bool 12, "
    f"round_mode RoundMode 13, ceil_mode bool {NOWHERE}",
    "InnerProductParameter": "num_output uint32 1, bias_term bool 2 true, axis int32 5 1, transpose bool 6",
    "LRNParameter": "local_size uint32 1 5, alpha float 2 1, beta float 3 0.75, norm_region NormRegion 4, k float 5 1",
    "DropoutParameter": "dropout_ratio float 1 0.5, scale_train bool 2 true",
    "ReLUParameter": "negative_slope float 1",
    "SoftmaxParameter": "axis int32 2 1",
    "BatchNormParameter": "use_global_stats bool 1 true, eps float 3 1e-05",
    "ScaleParameter": "axis int32 1 1, num_axes int32 2 1, bias_term bool 4",
}
# Fields of these messages that say nothing of what a net computes when it is used: "name number".
SILENT = {
    "NetParameter": "force_backward 5, state 6, debug_info 7",
    "NetStateRule": "not_stage 5",
    "LayerParameter": "loss_weight 5, param 6, phase 10, propagate_down 11, loss_param 101, accuracy_param 102, "
    "argmax_param 103, contrastive_loss_param 105, dummy_data_param 109, exp_param 111, hdf5_data_param 112, "
    "hdf5_output_param 113, hinge_loss_param 114, infogain_loss_param 116, mvn_param 120, power_param 122, "
    "sigmoid_param 124, slice_param 126, tanh_param 127, threshold_param 128, window_data_param 129, python_param 130, "
    "prelu_param 131, spp_param 132, reshape_param 133, log_param 134, reduction_param 136, embed_param 137, "
    "tile_param 138, elu_param 140, bias_param 141, crop_param 144, parameter_param 145, recurrent_param 146, "
    "swish_param 147, clip_param 148",
    "V1LayerParameter": "blobs_lr 7, weight_decay 8, hdf5_data_param 13, hdf5_output_param 14, infogain_loss_param 16, "
    "window_data_param 20, power_param 21, argmax_param 23, threshold_param 25, dummy_data_param 26, "
    "accuracy_param 27, hinge_loss_param 29, slice_param 31, mvn_param 34, loss_weight 35, tanh_param 37, "
    "sigmoid_param 38, contrastive_loss_param 40, exp_param 41, loss_param 42, param 1001, blob_share_mode 1002",
    "ConvolutionParameter": "weight_filler 7, bias_filler 8, engine 15, force_nd_im2col 17",
    "EltwiseParameter": "stable_prod_grad 3",
    "PoolingParameter": "engine 11",
    "InnerProductParameter": "weight_filler 3, bias_filler 4",
    "LRNParameter": "engine 6",
    "ReLUParameter": "engine 2",
    "SoftmaxParameter": "engine 1",
    "BatchNormParameter": "moving_average_fraction 2",
    "ScaleParameter": "filler 3, bias_filler 5",
}
ENUMS = {
    "Phase": "TRAIN TEST",
    "PoolMethod": "MAX AVE STOCHASTIC",
    "EltwiseOp": "PROD SUM MAX",
    "RoundMode": "CEIL FLOOR",
    "NormRegion": "ACROSS_CHANNELS WITHIN_CHANNEL",
    "V1Type": "NONE ACCURACY BNLL CONCAT CONVOLUTION DATA DROPOUT EUCLIDEAN_LOSS FLATTEN HDF5_DATA HDF5_OUTPUT IM2COL "
    "IMAGE_DATA INFOGAIN_LOSS INNER_PRODUCT LRN MULTINOMIAL_LOGISTIC_LOSS POOLING RELU SIGMOID SOFTMAX SOFTMAX_LOSS "
    "SPLIT TANH WINDOW_DATA ELTWISE POWER SIGMOID_CROSS_ENTROPY_LOSS HINGE_LOSS MEMORY_DATA ARGMAX THRESHOLD "
    "DUMMY_DATA SLICE MVN ABSVAL SILENCE CONTRASTIVE_LOSS EXP DECONVOLUTION",
}


@functools.cache
def message(name):
    """The protobuf class of a message above.  RawconvError where protobuf is not installed."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise RawconvError("Caffe's files need protobuf: pip install 'rawconv[caffe]'.") from error
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    for enum, values in ENUMS.items():
        # in a message of its own: values of two have one name, MAX
        made = file.message_type.add(name=enum).enum_type.add(name="Value")
        for number, value in enumerate(values.split()):
            made.value.add(name=value, number=number)
    for title, fields in MESSAGES.items():
        made = file.message_type.add(name=title)
        for field in fields.split(", "):
            _add(made.field, descriptor_pb2.FieldDescriptorProto, *field.split())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))


def fields(data, title="NetParameter"):
    """The numbers of all fields of a message and of the messages in it, one by one, without making
    anything of them.
    """
    inner = {
        int(number): kind.removesuffix("*")
        for _, kind, number, *_ in map(str.split, MESSAGES[title].split(", "))
    }
    place = 0
    while place < len(data):
        tag, place = varint(data, place)
        yield tag >> 3
        value, place = varint(data, place) if tag & 7 in (0, 2) else (0, place)
        end = place + {0: 0, 1: 8, 2: value, 5: 4}.get(tag & 7, len(data))
        if tag & 7 == 2 and inner.get(tag >> 3) in MESSAGES:
            yield from fields(data[place:end], inner[tag >> 3])
        place = end


def _add(fields, proto, name, kind, number, default=None):
    plain = kind.removesuffix("*")
    field = fields.add(name=name, number=int(number))
    field.label = proto.LABEL_OPTIONAL if kind == plain else proto.LABEL_REPEATED
    if plain in MESSAGES or plain in ENUMS:
        field.type = proto.TYPE_MESSAGE if plain in MESSAGES else proto.TYPE_ENUM
        field.type_name = f".caffe.{plain}{'.Value' * (plain in ENUMS)}"
    else:
        field.type = getattr(proto, f"TYPE_{plain.upper()}")
    if default is not None:
        field.default_value = default
