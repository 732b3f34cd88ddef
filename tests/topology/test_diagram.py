"""The picture of a net: well-formed, complete, legible."""

import itertools
import xml.etree.ElementTree as ET

import pytest

from app.topology.diagram import LONGEST_WORD, diagram_svg
from app.topology.layered import draw
from app.topology.zoo import zoo, zoo_entry
from tests.topology.texts import SMALL

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str, size: int = 8) -> ET.Element:
    return ET.fromstring(diagram_svg(text, 1, size, size, 10))


def words(root: ET.Element) -> list[list[str]]:
    """The lines of every box."""
    return [[line.text or "" for line in node.findall(f"{SVG}text")] for node in root.findall(f"{SVG}g[@class='node']")]


def test_boxes_name_layer_type_and_shape() -> None:
    assert words(drawn(SMALL)) == [
        ["data", "input", "1×8×8"],
        ["conv", "Convolution + ReLU", "4×6×6"],
        ["ip", "InnerProduct", "10"],
        ["loss", "SoftmaxWithLoss", "one number"],
    ]


def test_boxes_carry_what_style_sheets_and_scripts_need() -> None:
    nodes = drawn(SMALL).findall(f"{SVG}g[@class='node']")

    assert [node.get("data-family") for node in nodes] == ["input", "convolution", "inner_product", "loss"]
    assert [node.get("data-line") for node in nodes] == ["0", "4", "9", "10"]
    assert nodes[1].find(f"{SVG}title").text == "conv, relu: Convolution + ReLU, 4×6×6"


@pytest.mark.parametrize("entry", zoo(), ids=lambda entry: entry.id)
def test_boxes_of_the_zoo_do_not_overlap(entry) -> None:
    root = ET.fromstring(diagram_svg(entry.prototxt, entry.channels, entry.image_size, entry.image_size, 10))
    rows: dict[float, list[tuple[float, float]]] = {}
    for rect in root.iter(f"{SVG}rect"):
        x, y, width = (float(rect.get(name)) for name in ("x", "y", "width"))
        rows.setdefault(y, []).append((x, x + width))
        assert x >= 0
        assert x + width <= float(root.get("width")) + 0.5
    for boxes in rows.values():
        boxes.sort()
        assert all(right < left for (_, right), (left, _) in itertools.pairwise(boxes))


def test_googlenet_is_five_boxes_wide_and_shows_every_branch() -> None:
    root = ET.fromstring(diagram_svg(zoo_entry("googlenet").prototxt, 3, 224, 224, 1000))
    lines = {box[0]: box[1:] for box in words(root)}

    assert float(root.get("width")) < 6 * 200
    assert lines["inception_3a/3x3"] == ["Convolution + ReLU", "128×28×28"]
    assert lines["inception_5b/output"] == ["Concat", "1024×7×7"]
    assert (
        len(root.findall(f".//{SVG}path")) == 94 + 9 * 3
    )  # a tree has one edge less than boxes; each module closes three


def test_names_are_escaped_and_cut_but_whole_in_the_title() -> None:
    name = "<b>&" + "x" * 100
    node = drawn(SMALL.replace('name: "conv"', f'name: "{name}"')).findall(f"{SVG}g[@class='node']")[1]

    assert len(node.find(f"{SVG}text").text) == LONGEST_WORD
    assert name in node.find(f"{SVG}title").text


def test_a_blob_read_before_it_is_changed_gets_a_box_for_the_change() -> None:
    text = """
    layer { name: "a" type: "ReLU" bottom: "data" top: "a" }
    layer { name: "b" type: "ReLU" bottom: "a" top: "b" }
    layer { name: "c" type: "ReLU" bottom: "a" top: "a" }"""

    assert [box[0] for box in words(drawn(text))] == ["data", "a", "b", "c"]


@pytest.mark.parametrize(
    "text", ["", "layer {", "<html>", "layer { } layer { }", 'layer { name: "\x01" type: "X" top: "\x02" }']
)
def test_what_cannot_be_read_is_drawn_as_far_as_it_can(text: str) -> None:
    picture = diagram_svg(text, 3, 8, 8, 10)

    assert picture == "" or ET.fromstring(picture) is not None


def test_too_many_layers_are_said_to_be_too_many() -> None:
    from app.topology.diagram import Graph, Node, svg

    nodes = [Node(str(index), ["ReLU"], "activation", None, 1) for index in range(1_501)]
    assert "1,501 layers are too many to draw" in svg(Graph(nodes, []))


def test_rows_follow_the_longest_path() -> None:
    drawing = draw([10, 10, 10, 10], [(0, 1), (1, 2), (0, 3), (2, 3)])

    assert drawing.row == [0, 1, 2, 3]
    assert [row for _, row in drawing.paths[2]] == [0, 1, 2, 3]  # the short cut bends around the others


def test_branches_that_cross_in_the_text_do_not_cross_in_the_picture() -> None:
    # 0 → 1, 2; then 1 → 4 and 2 → 3
    drawing = draw([10] * 5, [(0, 1), (0, 2), (2, 3), (1, 4)])

    assert (drawing.x[1] < drawing.x[2]) == (drawing.x[4] < drawing.x[3])


def test_nothing_is_drawn_as_nothing() -> None:
    assert (draw([], []).width, draw([], []).rows) == (0, 0)
