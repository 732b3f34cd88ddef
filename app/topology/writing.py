"""The texts of a download: train_val.prototxt and deploy.prototxt, as Caffe and OpenCV read them.

Both are written anew from what was read: in today's form, fitted to the number of classes, with the data layers of the
dataset and rules by phase alone, whatever stages or levels the original used. Comments of the original stay in it.
"""

from __future__ import annotations

from google.protobuf import text_format

from app.preprocessing import MeanMode, Preprocessing
from app.topology import caffe_pb2
from app.topology.deploy import deploy_net
from app.topology.errors import TopologyError
from app.topology.fit import fit_source
from app.topology.net import Layer, Net, Phase
from app.topology.text import Source, read
from app.topology.wiring import wire

MEAN_FILE = "mean.binaryproto"


def train_val_text(
    text: str,
    preprocessing: Preprocessing,
    classes: int,
    batch_size: int = 64,
    val_batch_size: int = 100,
    *,
    train_source: str = "train.lmdb",
    val_source: str = "val.lmdb",
) -> str:
    """The text for training and validating: two Data layers, then the layers of either phase.

    Raises TopologyError if the text cannot be read or wired.
    """
    source = fit_source(read(text), classes)
    message = caffe_pb2.NetParameter(name=source.name or "net")
    layers: dict[int, dict[Phase, Layer]] = {}  # of either phase, by their place in the text
    for phase, path, size in ((Phase.TRAIN, train_source, batch_size), (Phase.TEST, val_source, val_batch_size)):
        wired = wire(source, phase)
        if wired.faults:
            raise TopologyError(wired.faults)
        message.layer.append(_data_layer(wired.net, preprocessing, path, size))
        for origin, layer in zip(wired.origins, wired.net.layers, strict=True):
            layers.setdefault(origin.start, {})[phase] = layer
    for _place, phases in sorted(layers.items()):
        message.layer.append(_trained_layer(phases))
    return _printed(message)


def deploy_text(text: str, preprocessing: Preprocessing, classes: int) -> str:
    """The text for predicting: one Input of one image, and the layers that lead to the probabilities.

    Raises TopologyError if the text cannot be read or has no such net.
    """
    source = fit_source(read(text), classes)
    net = deploy_net(source)
    return _remark(preprocessing) + _printed(deploy_message(source, net, preprocessing))


def deploy_message(source: Source, net: Net, preprocessing: Preprocessing) -> caffe_pb2.NetParameter:
    """deploy.prototxt as a message; with blobs added to its layers, a .caffemodel."""
    message = caffe_pb2.NetParameter(name=source.name or "net")
    image = message.layer.add(name=net.inputs[0], type="Input", top=[net.inputs[0]])
    image.input_param.shape.add().dim.extend((1, *preprocessing.input_shape))
    for layer in net.layers:
        written = message.layer.add()
        written.CopyFrom(layer.options)
        written.name = layer.name
        _leave_prediction(written)
    return message


def _data_layer(net: Net, preprocessing: Preprocessing, path: str, batch_size: int) -> caffe_pb2.LayerParameter:
    layer = caffe_pb2.LayerParameter(name="data", type="Data", top=net.inputs[:2])
    layer.include.add(phase=caffe_pb2.Phase.Value(net.phase))
    transform = layer.transform_param
    transform.mirror = preprocessing.mirror and net.phase is Phase.TRAIN
    transform.scale = preprocessing.scale
    if preprocessing.crop_size:
        transform.crop_size = preprocessing.crop_size
    if preprocessing.mean is MeanMode.IMAGE:
        transform.mean_file = MEAN_FILE
    elif preprocessing.mean is MeanMode.PIXEL:
        transform.mean_value.extend(preprocessing.mean_values)
    layer.data_param.source = path
    layer.data_param.batch_size = batch_size
    layer.data_param.backend = caffe_pb2.DataParameter.LMDB
    return layer


def _trained_layer(phases: dict[Phase, Layer]) -> caffe_pb2.LayerParameter:
    """A layer with the name and tops that it goes by, and a rule if only one phase has it."""
    layer = next(iter(phases.values()))
    written = caffe_pb2.LayerParameter()
    written.CopyFrom(layer.options)
    written.name = layer.name
    written.top[:] = layer.tops
    del written.include[:], written.exclude[:]
    if len(phases) == 1:
        written.include.add(phase=caffe_pb2.Phase.Value(next(iter(phases))))
    return written


def _leave_prediction(written: caffe_pb2.LayerParameter) -> None:
    """Take out what only training needs: fillers, rates, rules. Names of shared weights stay."""
    for name in ("include", "exclude", "loss_weight", "propagate_down", "blobs"):
        written.ClearField(name)
    shared = [param.name for param in written.param]
    del written.param[:]
    if any(shared):
        for name in shared:
            written.param.add(name=name) if name else written.param.add()
    for _descriptor, options in written.ListFields():
        fillers = getattr(options, "DESCRIPTOR", None)
        for field in fillers.fields_by_name if fillers else ():
            if field.endswith("filler"):
                options.ClearField(field)


def _remark(preprocessing: Preprocessing) -> str:
    channels, height, width = preprocessing.input_shape
    order = "grey" if channels == 1 else "BGR"
    mean = {
        MeanMode.NONE: "",
        MeanMode.IMAGE: f" minus the mean image ({MEAN_FILE})",
        MeanMode.PIXEL: f" minus {', '.join(f'{value:g}' for value in preprocessing.mean_values)}",
    }[preprocessing.mean]
    return f"# Input: {order} pixels from 0 to 255{mean}, times {preprocessing.scale:g}; {width} wide, {height} high.\n"


def _printed(message: caffe_pb2.NetParameter) -> str:
    return str(text_format.MessageToString(message, as_utf8=True))
