"""Small nets that several tests read, and the oracle that knows Caffe's shapes: OpenCV's importer."""

from __future__ import annotations

import cv2
import numpy as np

from app.preprocessing import Channels, Preprocessing
from app.topology import caffe_pb2
from app.topology.deploy import deploy_net
from app.topology.errors import TopologyError
from app.topology.fit import fit_source
from app.topology.net import Phase
from app.topology.shapes import Shapes, infer
from app.topology.text import read
from app.topology.writing import deploy_message

SMALL = """name: "small"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST } }
layer {
  name: "conv"  type: "Convolution"  bottom: "data"  top: "conv"
  convolution_param { num_output: 4  kernel_size: 3 }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 10 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
"""


def issues_of(text: str) -> list[tuple[int, int, str]]:
    """(line, column, message) of what reading and wiring a text raises."""
    try:
        source = read(text)
        for phase in Phase:
            source.net(phase)
    except TopologyError as error:
        return [(issue.line, issue.column, issue.message) for issue in error.issues]
    return []


def preprocessing_of(channels: int, height: int, width: int) -> Preprocessing:
    return Preprocessing(Channels.GRAY if channels == 1 else Channels.COLOR, width, height)


def randomly_weighted(text: str, image: tuple[int, int, int], classes: int) -> tuple[caffe_pb2.NetParameter, Shapes]:
    """The deployed net as a .caffemodel with small random weights, and its shapes as we work them out."""
    source = fit_source(read(text), classes)
    net = deploy_net(source)
    message = deploy_message(source, net, preprocessing_of(*image))
    shapes = infer(net, {net.inputs[0]: (1, *image)})
    random = np.random.default_rng(0)
    for layer in message.layer[1:]:
        for shape in shapes[layer.name].parameter_shapes:
            values = random.random(shape, np.float32) * 0.05 if layer.type != "BatchNorm" else np.ones(shape, "f4")
            layer.blobs.append(blob_of(values))
    return message, shapes


def blob_of(values: np.ndarray) -> caffe_pb2.BlobProto:
    """An array as a message, its numbers put in as bytes: field 5, packed (much faster than one by one)."""
    blob = caffe_pb2.BlobProto()
    data, length = values.astype("<f4").tobytes(), bytearray()
    size = len(data)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    blob.MergeFromString(bytes([5 << 3 | 2, *length, size]) + data)
    blob.shape.dim.extend(values.shape)
    return blob


def opencv_net(deploy: str, weights: caffe_pb2.NetParameter) -> cv2.dnn.Net:
    """Our two files as OpenCV reads them."""
    buffers = (np.frombuffer(data, np.uint8) for data in (deploy.encode(), weights.SerializeToString()))
    return cv2.dnn.readNetFromCaffe(*buffers)


def opencv_shapes(net: cv2.dnn.Net, image: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The shape of every layer's first top as OpenCV works it out."""
    ids, _, outputs = net.getLayersShapes(image)
    return {
        net.getLayer(int(layer_id)).name: tuple(int(size) for size in tops[0])
        for layer_id, tops in zip(np.ravel(ids), outputs, strict=True)
    }
