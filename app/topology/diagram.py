"""The picture of a net: its layers as boxes from top to bottom, its blobs as lines, as inline SVG.

A layer that works in place stands in the box of the layer whose blob it changes, as "Convolution + ReLU". Colours come
from the page's style sheet (`.net-diagram .node[data-family=convolution] …`); without one the picture is drawn in the
colour of the text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from app.topology.check import input_shapes
from app.topology.fit import fit_source
from app.topology.layered import Drawing, draw
from app.topology.layers import Shape, as_text, layer_type
from app.topology.net import Layer, Net, Phase
from app.topology.shapes import trace
from app.topology.text import read_leniently
from app.topology.wiring import wire

MOST_NODES = 1_500
NODE_WIDTH, NODE_HEIGHT, ROW_HEIGHT, MARGIN = 168, 50, 74, 8
LONGEST_WORD = 26  # letters that fit into a box


@dataclass
class Node:
    """One box: an input, or a layer with those that work in place on its blob."""

    name: str
    types: list[str]
    family: str
    shape: Shape | None
    line: int
    names: list[str] = field(default_factory=list)


@dataclass
class Graph:
    """The boxes of a net and the lines between them, by their places in `nodes`."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)


def diagram_svg(text: str, channels: int, height: int, width: int, classes: int, phase: Phase = Phase.TRAIN) -> str:
    """The picture of what can be read of a text; "" if that is nothing. Never raises."""
    source, _ = read_leniently(text)
    if source is None or not source.layers:
        return ""
    net = wire(fit_source(source, classes), phase).net
    shapes, _ = trace(net, input_shapes(source, net, (1, channels, height, width)))
    return svg(graph(net, {info.name: info.top_shapes for info in shapes}, (1, channels, height, width)))


def graph(net: Net, top_shapes: dict[str, tuple[Shape, ...]], image: Shape | None = None) -> Graph:
    """The boxes and lines of a net. The labels are left out: lines to every loss would tell nothing."""
    made = Graph()
    makers: dict[str, int] = {}
    read: set[int] = set()
    labels = {blob for blob in net.inputs[1:] if "label" in blob.lower()}
    for blob in net.inputs:
        if blob not in labels:
            makers[blob] = len(made.nodes)
            made.nodes.append(Node(blob, ["input"], "input", image if blob == net.inputs[0] else None, 0, [blob]))
    for layer in net.layers:
        shapes = top_shapes.get(layer.name, ())
        if _joins(made, layer, makers, read):
            node = made.nodes[makers[layer.tops[0]]]
            node.types.append(layer.type)
            node.names.append(layer.name)
            continue
        kind = layer_type(layer.type)
        here = len(made.nodes)
        family = kind.family if kind else "unknown"
        shape = shapes[0] if shapes else None
        made.nodes.append(Node(layer.name, [layer.type], family, shape, layer.line, [layer.name]))
        sources = dict.fromkeys(makers[blob] for blob in layer.bottoms if blob in makers)
        made.edges += [(start, here) for start in sources]
        read.update(sources)
        makers |= dict.fromkeys(layer.tops, here)
    return made


def _joins(made: Graph, layer: Layer, makers: dict[str, int], read: set[int]) -> bool:
    """Whether a layer works in place on a blob that nothing else has read yet."""
    if len(layer.bottoms) != 1 or layer.bottoms != layer.tops or layer.bottoms[0] not in makers:
        return False
    maker = makers[layer.bottoms[0]]
    return maker not in read and made.nodes[maker].family != "input"


def svg(drawn: Graph) -> str:
    """The graph as an <svg> element."""
    if len(drawn.nodes) > MOST_NODES:
        return (
            '<svg class="net-diagram" xmlns="http://www.w3.org/2000/svg" width="420" height="40" role="img">'
            f'<text x="8" y="24" fill="currentColor">{len(drawn.nodes):,} layers are too many to draw</text></svg>'
        )
    drawing = draw([NODE_WIDTH] * len(drawn.nodes), drawn.edges)
    wide, high = drawing.width + 2 * MARGIN, drawing.rows * ROW_HEIGHT + 2 * MARGIN
    parts = [
        f'<svg class="net-diagram" xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}" '
        f'viewBox="0 0 {wide:.0f} {high:.0f}" role="img" aria-label="Diagram of {len(drawn.nodes)} layers" '
        'font-size="11" text-anchor="middle" fill="currentColor">',
        '<g class="edges" fill="none" stroke="currentColor" stroke-opacity="0.45">',
        *(_edge(path) for path in drawing.paths),
        "</g>",
        *(_node(node, index, drawing) for index, node in enumerate(drawn.nodes)),
        "</svg>",
    ]
    return "\n".join(parts)


def _edge(path: list[tuple[float, int]]) -> str:
    """A line from the foot of one box through its bends to the head of another."""
    points = []
    for place, (x, row) in enumerate(path):
        top = MARGIN + row * ROW_HEIGHT
        points += [] if place == 0 else [(x + MARGIN, top)]
        points += [] if place == len(path) - 1 else [(x + MARGIN, top + NODE_HEIGHT)]
    words = [f"M{points[0][0]:.1f} {points[0][1]}"]
    for index in range(1, len(points)):
        (x0, y0), (x1, y1) = points[index - 1], points[index]
        middle = (y0 + y1) / 2
        straight = abs(x0 - x1) < 0.5 or index % 2 == 0
        words.append(f"L{x1:.1f} {y1}" if straight else f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1}")
    return f'<path class="edge" d="{" ".join(words)}"/>'


def _node(node: Node, index: int, drawing: Drawing) -> str:
    x, y = drawing.x[index] + MARGIN, MARGIN + drawing.row[index] * ROW_HEIGHT
    kinds = " + ".join(node.types)
    shape = "" if node.shape is None else as_text(node.shape[1:] or node.shape)
    title = escape(_printable(f"{', '.join(node.names)}: {kinds}" + (f", {shape}" if shape else "")))
    return (
        f'<g class="node" data-family="{escape(node.family)}" data-type="{escape(_printable(node.types[0]))}" '
        f'data-line="{node.line}"><title>{title}</title>'
        f'<rect x="{x - NODE_WIDTH / 2:.1f}" y="{y}" width="{NODE_WIDTH}" height="{NODE_HEIGHT}" rx="6" '
        'fill="currentColor" fill-opacity="0.06" stroke="currentColor" stroke-opacity="0.35"/>'
        f'<text class="node-name" x="{x:.1f}" y="{y + 16}" font-weight="600">{escape(_cut(node.name))}</text>'
        f'<text class="node-type" x="{x:.1f}" y="{y + 30}">{escape(_cut(kinds))}</text>'
        f'<text class="node-shape" x="{x:.1f}" y="{y + 44}" fill-opacity="0.75">{escape(_cut(shape))}</text></g>'
    )


def _cut(words: str) -> str:
    return _printable(words if len(words) <= LONGEST_WORD else words[: LONGEST_WORD - 1] + "…")


def _printable(words: str) -> str:
    """Without what XML does not allow: control characters, half surrogates."""
    return "".join(letter if letter.isprintable() else "�" for letter in words)
