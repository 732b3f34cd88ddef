"""A trained net as one ONNX file that takes pixels: preprocessing is inside the graph.

Input `pixels`: uint8 (N, H, W, C), RGB or grey, at the dataset's size (resize with the dataset's mode before). Output
`probabilities`: float32 (N, classes). Labels and preprocessing are in the file's metadata.
"""

from __future__ import annotations

import json
import math

from onnx import GraphProto, ModelProto, StringStringEntryProto, TensorProto, helper

from app.export.errors import ExportError
from app.export.onnx_graph import Graph
from app.export.onnx_layers import OPERATOR_SET, add_layer
from app.export.pieces import LARGEST_MESSAGE, Piece, field, size_of
from app.export.trained_net import TrainedNet
from app.version import VERSION

_IR_VERSION = 8  # the format that came with the operator set
_INPUT, _OUTPUT = "pixels", "probabilities"
_GRAPH = ModelProto.GRAPH_FIELD_NUMBER


def onnx_model(trained: TrainedNet) -> list[Piece]:
    """The file; raises ExportError, naming the layer, for what ONNX has no words for."""
    graph = Graph()
    pixels, answer = graph.name(_INPUT), graph.name(_OUTPUT)
    values = {trained.net.inputs[0]: _prepared(graph, trained, pixels)}
    for site in trained.sites:
        tops = add_layer(graph, site, [values[blob] for blob in site.layer.bottoms])
        values.update(zip(site.layer.tops, tops, strict=True))
    graph.nodes.append(helper.make_node("Flatten", [values[trained.net.outputs[0]]], [answer], name=answer, axis=1))
    pieces: list[Piece] = [_header(trained), *field(_GRAPH, [_graph(trained, graph), *graph.initializers()])]
    if size_of(pieces) > LARGEST_MESSAGE:
        raise ExportError(f"an ONNX file holds at most 2 GB, this net is {size_of(pieces) / 1e9:.1f} GB")
    return pieces


def _prepared(graph: Graph, trained: TrainedNet, pixels: str) -> str:
    """From pixels to the net's input: BGR, centre, less the mean, times the scale, channels first."""
    preprocessing, value = trained.preprocessing, pixels
    if preprocessing.channels.number == 3:
        value = graph.add("Gather", [value, graph.numbers(2, 1, 0)], "bgr", axis=3)
    value = graph.add("Cast", [value], "numbers", to=TensorProto.FLOAT)
    value = graph.add("Transpose", [value], "planes", perm=[0, 3, 1, 2])
    height, width = preprocessing.input_height, preprocessing.input_width
    top, left = (preprocessing.height - height) // 2, (preprocessing.width - width) // 2
    if (height, width) != (preprocessing.height, preprocessing.width):
        starts, ends = graph.numbers(top, left), graph.numbers(top + height, left + width)
        value = graph.add("Slice", [value, starts, ends, graph.numbers(2, 3)], "centre")
    mean = trained.mean_values()
    if mean is not None:
        cut = mean[:, top : top + height, left : left + width] if mean.shape[1] > 1 else mean
        value = graph.add("Sub", [value, graph.constant(cut[None], "mean")], "centred")
    if preprocessing.scale != 1:
        value = graph.add("Mul", [value, graph.number(preprocessing.scale)], "scaled")
    return value


def _graph(trained: TrainedNet, graph: Graph) -> bytes:
    preprocessing = trained.preprocessing
    size: list[str | int | None] = ["n", preprocessing.height, preprocessing.width, preprocessing.channels.number]
    count = math.prod(trained.sites[-1].info.top_shapes[0][1:])
    message = GraphProto(
        name=trained.net.name or "net",
        node=graph.nodes,
        input=[helper.make_tensor_value_info(_INPUT, TensorProto.UINT8, size)],
        output=[helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, ["n", count])],
    )
    return bytes(message.SerializeToString())


def _header(trained: TrainedNet) -> bytes:
    facts = {
        "labels": json.dumps(list(trained.classes), ensure_ascii=False),
        "preprocessing": json.dumps(trained.preprocessing.to_dict(), ensure_ascii=False),
    }
    message = ModelProto(
        ir_version=_IR_VERSION,
        producer_name="Trainyard",
        producer_version=VERSION,
        opset_import=[helper.make_opsetid("", OPERATOR_SET)],
        metadata_props=[StringStringEntryProto(key=key, value=value) for key, value in facts.items()],
    )
    return bytes(message.SerializeToString())
