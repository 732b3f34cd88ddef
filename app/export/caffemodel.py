"""Weights as a .caffemodel: deploy.prototxt as a message, with the blobs of every layer in Caffe's order."""

from __future__ import annotations

from app.export.errors import ExportError
from app.export.pieces import LARGEST_MESSAGE, Piece, field, size_of
from app.export.trained_net import TrainedNet
from app.export.weights import Stored
from app.topology import caffe_pb2
from app.topology.layers import DATA_TYPES
from app.topology.writing import deploy_message

_LAYER = caffe_pb2.NetParameter.LAYER_FIELD_NUMBER
_BLOBS = caffe_pb2.LayerParameter.BLOBS_FIELD_NUMBER
_DATA = caffe_pb2.BlobProto.DATA_FIELD_NUMBER


def caffemodel(trained: TrainedNet) -> list[Piece]:
    """The file that belongs to deploy.prototxt; raises ExportError for a net beyond what protobuf can hold."""
    message = deploy_message(trained.source, trained.net, trained.preprocessing)
    weights = {site.layer.name: list(site.weights.values()) for site in trained.sites}
    pieces: list[Piece] = [caffe_pb2.NetParameter(name=message.name).SerializeToString()]
    for layer in message.layer:
        blobs = [] if layer.type in DATA_TYPES else weights[layer.name]
        content: list[Piece] = [layer.SerializeToString()]
        for blob in blobs:
            content += field(_BLOBS, _blob(blob))
        pieces += field(_LAYER, content)
    if size_of(pieces) > LARGEST_MESSAGE:
        raise ExportError(f"Caffe's files hold at most 2 GB, these weights are {size_of(pieces) / 1e9:.1f} GB")
    return pieces


def _blob(stored: Stored) -> list[Piece]:
    shape = caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=stored.shape)).SerializeToString()
    return [shape, *field(_DATA, [stored.span])]
