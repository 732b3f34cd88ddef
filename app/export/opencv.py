"""What OpenCV's importer of Caffe nets cannot do, or does otherwise than Caffe: said before somebody relies on it.

Found with OpenCV 4.14, whose answers the tests compare with ours for every type of layer.
"""

from __future__ import annotations

from collections.abc import Callable

from app.export.trained_net import Site, TrainedNet
from app.topology import caffe_pb2

_UNKNOWN = frozenset({"ArgMax", "Bias", "Reduction", "Threshold", "Tile"})
_Options = caffe_pb2.LayerParameter
_OTHERWISE: dict[str, tuple[Callable[[_Options], bool], str]] = {
    "InnerProduct": (lambda options: options.inner_product_param.transpose, "transpose is passed over"),
    "LRN": (lambda options: options.lrn_param.k != 1, "k is passed over"),
    "Log": (lambda _options: True, "its numbers are others"),
    "Pooling": (
        lambda options: (
            options.pooling_param.HasField("round_mode")
            or options.pooling_param.pool == caffe_pb2.PoolingParameter.STOCHASTIC
        ),
        "round_mode and STOCHASTIC are not known",
    ),
    "PReLU": (lambda options: options.prelu_param.channel_shared, "channel_shared is not known"),
}


def beyond_opencv(trained: TrainedNet) -> list[str]:
    """One remark for every layer of the net that OpenCV does not run as Caffe would."""
    return [remark for site in trained.sites if (remark := _remark(site))]


def _remark(site: Site) -> str:
    layer = site.layer
    if layer.type in _UNKNOWN:
        return f"{layer.name}: {layer.type} is not known"
    differs, reason = _OTHERWISE.get(layer.type, (None, ""))
    return f"{layer.name} ({layer.type}): {reason}" if differs and differs(layer.options) else ""
