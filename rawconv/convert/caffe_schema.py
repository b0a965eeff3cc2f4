"""Caffe's messages, as far as a net needs them: a description for the protobuf library, made when
first asked for.

Numbers and names are those of caffe.proto (BVLC, version 1); what is not listed is skipped by the
library.  A packed list of floats is, in the file, its bytes, and is read as such: a hundred million
weights need not become Python's.
"""

import functools

from ..errors import RawconvError
from .formats import varint

# message: "name type number", a star after the type for a list.
MESSAGES = {
    "NetParameter": "name string 1, layers V1LayerParameter* 2, input string* 3, input_dim int64* 4, "
    "input_shape BlobShape* 8, layer LayerParameter* 100",
    "BlobShape": "dim int64* 1",
    "BlobProto": "num int64 1, channels int64 2, height int64 3, width int64 4, data bytes* 5, shape BlobShape 7, "
    "double_data bytes* 8",
    "NetStateRule": "phase Phase 1",
    "LayerParameter": "name string 1, type string 2, bottom string* 3, top string* 4, blobs BlobProto* 7, "
    "include NetStateRule* 8, exclude NetStateRule* 9, transform_param TransformationParameter 100, "
    "convolution_param ConvolutionParameter 106, data_param DataParameter 107, dropout_param DropoutParameter 108, "
    "image_data_param DataParameter 115, inner_product_param InnerProductParameter 117, lrn_param LRNParameter 118, "
    "memory_data_param MemoryDataParameter 119, pooling_param PoolingParameter 121, relu_param ReLUParameter 123, "
    "batch_norm_param BatchNormParameter 139, scale_param ScaleParameter 142, input_param InputParameter 143",
    "V1LayerParameter": "layer V0LayerParameter 1, bottom string* 2, top string* 3, name string 4, type V1Type 5, "
    "blobs BlobProto* 6, convolution_param ConvolutionParameter 10, data_param DataParameter 11, "
    "dropout_param DropoutParameter 12, image_data_param DataParameter 15, "
    "inner_product_param InnerProductParameter 17, lrn_param LRNParameter 18, pooling_param PoolingParameter 19, "
    "memory_data_param MemoryDataParameter 22, relu_param ReLUParameter 30, include NetStateRule* 32, "
    "exclude NetStateRule* 33, transform_param TransformationParameter 36",
    "V0LayerParameter": "type string 2",
    "TransformationParameter": "scale float 1, crop_size uint32 3, mean_file string 4, mean_value float* 5",
    "DataParameter": "scale float 2, mean_file string 3, crop_size uint32 5",
    "MemoryDataParameter": "channels uint32 2, height uint32 3, width uint32 4",
    "InputParameter": "shape BlobShape* 1",
    "ConvolutionParameter": "num_output uint32 1, bias_term bool 2, pad uint32* 3, kernel_size uint32* 4, "
    "group uint32 5, stride uint32* 6, pad_h uint32 9, pad_w uint32 10, kernel_h uint32 11, kernel_w uint32 12, "
    "stride_h uint32 13, stride_w uint32 14, axis int32 16, dilation uint32* 18",
    "PoolingParameter": "pool PoolMethod 1, kernel_size uint32* 2, stride uint32* 3, pad uint32* 4, kernel_h uint32 5, "
    "kernel_w uint32 6, stride_h uint32 7, stride_w uint32 8, pad_h uint32 9, pad_w uint32 10, global_pooling bool 12, "
    "round_mode RoundMode 13",
    "InnerProductParameter": "num_output uint32 1, bias_term bool 2, axis int32 5, transpose bool 6",
    "LRNParameter": "local_size uint32 1, alpha float 2, beta float 3, norm_region NormRegion 4, k float 5",
    "DropoutParameter": "dropout_ratio float 1",
    "ReLUParameter": "negative_slope float 1",
    "BatchNormParameter": "eps float 3",
    "ScaleParameter": "axis int32 1, num_axes int32 2, bias_term bool 4",
}
ENUMS = {
    "Phase": "TRAIN TEST",
    "PoolMethod": "MAX AVE STOCHASTIC",
    "RoundMode": "CEIL FLOOR",
    "NormRegion": "ACROSS_CHANNELS WITHIN_CHANNEL",
    "V1Type": "NONE ACCURACY BNLL CONCAT CONVOLUTION DATA DROPOUT EUCLIDEAN_LOSS FLATTEN HDF5_DATA HDF5_OUTPUT IM2COL "
    "IMAGE_DATA INFOGAIN_LOSS INNER_PRODUCT LRN MULTINOMIAL_LOGISTIC_LOSS POOLING RELU SIGMOID SOFTMAX SOFTMAX_LOSS "
    "SPLIT TANH WINDOW_DATA ELTWISE POWER SIGMOID_CROSS_ENTROPY_LOSS HINGE_LOSS MEMORY_DATA ARGMAX THRESHOLD "
    "DUMMY_DATA SLICE MVN ABSVAL SILENCE CONTRASTIVE_LOSS EXP DECONVOLUTION",
}
DEFAULTS = {
    "bias_term": "true", "group": "1", "axis": "1", "num_axes": "1", "local_size": "5", "alpha": "1", "beta": "0.75",
    "k": "1", "dropout_ratio": "0.5", "scale": "1", "eps": "1e-05",
}  # fmt: skip


@functools.cache
def message(name):
    """The protobuf class of a message above.  RawconvError where protobuf is not installed."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise RawconvError("Caffe's files need protobuf: pip install 'rawconv[caffe]'.") from error
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    for enum, values in ENUMS.items():
        made = file.enum_type.add(name=enum)
        for number, value in enumerate(values.split()):
            made.value.add(name=value, number=number)
    for title, fields in MESSAGES.items():
        made = file.message_type.add(name=title)
        for field in fields.split(", "):
            _add(made.field, title, *field.split(), descriptor_pb2.FieldDescriptorProto)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))


def fields(data, title="NetParameter"):
    """The numbers of all fields of a message and of the messages in it, one by one, without making
    anything of them.
    """
    inner = {
        int(number): kind.removesuffix("*")
        for _, kind, number in map(str.split, MESSAGES[title].split(", "))
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


def _add(fields, title, name, kind, number, proto):
    plain = kind.removesuffix("*")
    field = fields.add(name=name, number=int(number))
    field.label = proto.LABEL_OPTIONAL if kind == plain else proto.LABEL_REPEATED
    if plain in MESSAGES or plain in ENUMS:
        field.type = proto.TYPE_MESSAGE if plain in MESSAGES else proto.TYPE_ENUM
        field.type_name = f".caffe.{plain}"
    else:
        field.type = getattr(proto, f"TYPE_{plain.upper()}")
    if name in DEFAULTS and title != "ScaleParameter":
        field.default_value = DEFAULTS[name]
