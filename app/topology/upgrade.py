"""Older forms of prototxt turned into today's: `layers { type: CONVOLUTION }`, `input:` headers, old option names."""

from __future__ import annotations

from app.topology import caffe_pb2

V1_TYPES = {
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "NONE": "",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}
OTHER_NAMES = {
    "SoftmaxLoss": "SoftmaxWithLoss",  # old
    "ConvolutionDepthwise": "Convolution",  # of forks that made grouped convolutions fast
    "DepthwiseConvolution": "Convolution",
}
_OWN_FORM = {"type", "param", "blob_share_mode", "blobs_lr", "weight_decay"}
_TRANSFORM_OPTIONS = ("scale", "mean_file", "crop_size", "mirror")


def upgraded_layer(old: caffe_pb2.V1LayerParameter) -> caffe_pb2.LayerParameter:
    """Today's form of an old layer (Caffe, upgrade_proto.cpp)."""
    layer = caffe_pb2.LayerParameter()
    for descriptor, value in old.ListFields():
        if descriptor.name in _OWN_FORM:
            continue
        if descriptor.name in ("bottom", "top", "loss_weight", "include", "exclude", "blobs"):
            getattr(layer, descriptor.name).extend(value)
        elif descriptor.name == "name":
            layer.name = value
        else:
            getattr(layer, descriptor.name).CopyFrom(value)
    if old.HasField("type"):
        layer.type = V1_TYPES[caffe_pb2.V1LayerParameter.LayerType.Name(old.type)]
    _upgrade_params(old, layer)
    return layer


def _upgrade_params(old: caffe_pb2.V1LayerParameter, layer: caffe_pb2.LayerParameter) -> None:
    count = max(len(old.param), len(old.blob_share_mode), len(old.blobs_lr), len(old.weight_decay))
    for index in range(count):
        param = layer.param.add()
        if index < len(old.param):
            param.name = old.param[index]
        if index < len(old.blob_share_mode):
            is_strict = old.blob_share_mode[index] == caffe_pb2.V1LayerParameter.STRICT
            param.share_mode = caffe_pb2.ParamSpec.STRICT if is_strict else caffe_pb2.ParamSpec.PERMISSIVE
        if index < len(old.blobs_lr):
            param.lr_mult = old.blobs_lr[index]
        if index < len(old.weight_decay):
            param.decay_mult = old.weight_decay[index]


def input_layers(header: caffe_pb2.NetParameter) -> list[caffe_pb2.LayerParameter]:
    """One Input layer per `input:` of a header, with its shape from input_shape or input_dim (none: left open)."""
    layers = []
    for index, blob in enumerate(header.input):
        layer = caffe_pb2.LayerParameter(name=blob, type="Input", top=[blob])
        if index < len(header.input_shape):
            layer.input_param.shape.add().CopyFrom(header.input_shape[index])
        elif len(header.input_dim) >= 4 * (index + 1):
            layer.input_param.shape.add().dim.extend(header.input_dim[4 * index : 4 * index + 4])
        layers.append(layer)
    return layers


def modernized(layer: caffe_pb2.LayerParameter) -> caffe_pb2.LayerParameter:
    """The layer with today's name of its type and its transform where it belongs."""
    if layer.type in OTHER_NAMES:
        layer.type = OTHER_NAMES[layer.type]
    return _with_transform(layer)


def _with_transform(layer: caffe_pb2.LayerParameter) -> caffe_pb2.LayerParameter:
    """The layer with scale, mean, crop and mirror in transform_param, where older texts have them in data_param."""
    old = {"Data": "data_param", "ImageData": "image_data_param", "WindowData": "window_data_param"}.get(layer.type)
    if old is None or not any(getattr(layer, old).HasField(option) for option in _TRANSFORM_OPTIONS):
        return layer
    moved = caffe_pb2.LayerParameter()
    moved.CopyFrom(layer)
    options = getattr(moved, old)
    for option in _TRANSFORM_OPTIONS:
        if options.HasField(option):
            if not moved.transform_param.HasField(option):
                setattr(moved.transform_param, option, getattr(options, option))
            options.ClearField(option)
    return moved
