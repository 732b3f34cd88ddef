"""docs/layers.md: which layers of Caffe there are here, written from the registry.

`python -m app.topology.support` prints it; a test compares the page with the registry.
"""

from __future__ import annotations

import sys

from app.topology import caffe_pb2
from app.topology.layers import DATA_TYPES, LayerType, layer_types
from app.topology.shapes import FILLERS

# Options that Caffe has and that change nothing here: they choose an implementation.
WITHOUT_EFFECT = frozenset({"engine", "force_nd_im2col", "stable_prod_grad"})

_HEAD = """# Layers

Written from the registry by `python -m app.topology.support`; the words and numbers are Caffe's. Options that are
not in this table are refused by name, except `engine`, `force_nd_im2col` and `stable_prod_grad`, which change nothing.

| family | layer | options | bottoms → tops | in place | keeps |
|---|---|---|---|---|---|
"""

_TAIL = """
Data layers ({data}) are read for their batch size and transform; the chosen dataset takes their place.

Fillers: {fillers}.

`pool: STOCHASTIC` takes no pad, as in Caffe; it draws in training, and where a net predicts it gives the mean of a
window's values weighed by themselves. It is meant for values that are not negative, as after a ReLU.

The matrix of `InfogainLoss` stands in the layer, row by row (`blobs {{ data: 1 data: 0 … }}`), or comes as third
bottom; a `source` file is refused, with its line and column.

Every layer takes `param {{ name lr_mult decay_mult share_mode }}`, `loss_weight`, and `include` and `exclude` rules by
phase, stage and level. Old texts (`layers {{ type: CONVOLUTION }}`, `input:` and `input_dim`, `SoftmaxLoss`,
`DepthwiseConvolution`) are upgraded on reading.
"""


def support_page() -> str:
    """The page as Markdown."""
    rows = "".join(_row(kind) for kind in layer_types())
    return _HEAD + rows + _TAIL.format(data=", ".join(sorted(DATA_TYPES)), fillers=", ".join(sorted(FILLERS)))


def _row(kind: LayerType) -> str:
    options = [option for field in (kind.options, *kind.also_reads) if field for option in _options(field)]
    counts = " → ".join(_count(*numbers) for numbers in (kind.bottoms, kind.tops))
    keeps = "" if not kind.has_weights else "weights" if kind.learns else "statistics"
    cells = (
        kind.family.replace("_", " "),
        f"**{kind.name}**",
        ", ".join(f"`{option}`" for option in options),
        counts,
        "yes" if kind.in_place else "",
        keeps,
    )
    return "| " + " | ".join(cells) + " |\n"


def _options(field: str) -> list[str]:
    message = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[field].message_type
    return [option.name for option in message.fields if option.name not in WITHOUT_EFFECT] if message else []


def _count(least: int, most: int | None) -> str:
    return f"{least}" if least == most else f"{least}+" if most is None else f"{least}–{most}"


if __name__ == "__main__":
    sys.stdout.write(support_page())
