"""Shapes and counts of whole nets."""

import pytest

from app.topology.errors import TopologyError
from app.topology.net import Phase
from app.topology.shapes import infer
from app.topology.text import read
from app.topology.zoo import zoo_entry
from tests.topology.texts import SMALL

SHAPES = {"data": (64, 1, 28, 28), "label": (64,)}


def test_lenet_has_the_shapes_that_one_works_out_by_hand() -> None:
    text = zoo_entry("lenet").prototxt.replace(
        "inner_product_param {\n    weight", "inner_product_param {\n    num_output: 10 weight"
    )
    shapes = infer(read(text).net(Phase.TRAIN), SHAPES)

    assert [(info.name, info.top_shapes[0], info.parameters) for info in shapes] == [
        ("conv1", (64, 20, 24, 24), 20 * 25 + 20),
        ("pool1", (64, 20, 12, 12), 0),
        ("conv2", (64, 50, 8, 8), 50 * 20 * 25 + 50),
        ("pool2", (64, 50, 4, 4), 0),
        ("ip1", (64, 500), 800 * 500 + 500),
        ("relu1", (64, 500), 0),
        ("ip2", (64, 10), 5000 + 10),
        ("loss", (), 0),
    ]
    assert shapes.parameters == 431_080
    assert shapes.blobs["ip1"] == (64, 500)
    assert shapes["conv2"].parameter_shapes == ((50, 20, 5, 5), (50,))


def test_every_fault_of_a_net_is_raised_with_its_line() -> None:
    text = (
        SMALL.replace("kernel_size: 3", "kernel_size: 40") + 'layer { name: "t" type: "Tile" bottom: "data" top: "t" }'
    )

    with pytest.raises(TopologyError) as raised:
        infer(read(text).net(Phase.TRAIN), SHAPES)

    assert [str(issue) for issue in raised.value.issues] == [
        "conv: kernel_size 40 exceeds its input 28×28 (line 4)",
        "t: tiles is 0; expected 1 or more (line 12)",
    ]


def shared(second: str, params: str = 'param { name: "w" } param { name: "b" }') -> str:
    """Two convolutions that share their weights, the second as said."""
    conv = 'type: "Convolution" bottom: "data" convolution_param { num_output: 4 kernel_size: '
    return (
        f'layer {{ name: "a" top: "a" {conv} 3 }} param {{ name: "w" }} param {{ name: "b" }} }}\n'
        f'layer {{ name: "b" top: "b" {conv} {second} }} {params} }}'
    )


def test_shared_weights_count_once() -> None:
    shapes = infer(read(shared("3")).net(Phase.TRAIN), SHAPES)

    assert [info.parameters for info in shapes] == [40, 0]


def test_weights_shared_in_part_count_for_the_rest() -> None:
    shapes = infer(read(shared("3", 'param { name: "w" }')).net(Phase.TRAIN), SHAPES)

    assert [info.parameters for info in shapes] == [40, 4]


def test_shared_weights_must_be_of_one_shape() -> None:
    with pytest.raises(TopologyError, match=r'b: the weights that it shares as "w" are 4×1×5×5, not 4×1×3×3 as in a'):
        infer(read(shared("5")).net(Phase.TRAIN), SHAPES)


def test_permissive_sharers_need_only_as_many_numbers() -> None:
    first, second = shared("3").replace("kernel_size:  3", "kernel_size: 3").splitlines()
    second = second.replace("kernel_size: 3", "kernel_h: 9 kernel_w: 1")
    permissive = second.replace('param { name: "w" }', 'param { name: "w" share_mode: PERMISSIVE }')

    assert infer(read(first + permissive).net(Phase.TRAIN), SHAPES).parameters == 40
    with pytest.raises(TopologyError, match="are 4×1×9×1, not 4×1×3×3"):
        infer(read(first + second).net(Phase.TRAIN), SHAPES)


def test_several_inputs_and_outputs_are_followed() -> None:
    text = """
    layer { name: "in" type: "Input" top: "left" top: "right" }
    layer { name: "sum" type: "Eltwise" bottom: "left" bottom: "right" top: "sum" }
    layer { name: "max" type: "Eltwise" bottom: "left" bottom: "right" top: "max" eltwise_param { operation: MAX } }
    """
    net = read(text).net(Phase.TEST)

    assert (net.inputs, net.outputs) == (("left", "right"), ("sum", "max"))
    assert infer(net, {"left": (1, 2), "right": (1, 2)}).blobs["max"] == (1, 2)


def test_too_many_parameters_in_all_are_refused() -> None:
    product = 'type: "InnerProduct" bottom: "data" inner_product_param { num_output: 2000000 bias_term: false }'
    text = "\n".join(f'layer {{ name: "ip{index}" top: "ip{index}" {product} }}' for index in range(3))

    with pytest.raises(TopologyError, match="ip0: the net has 4,704,000,000 parameters; at most 4,000,000,000"):
        infer(read(text).net(Phase.TRAIN), SHAPES)


def test_in_place_layers_change_what_follows() -> None:
    relu = 'layer { name: "r" type: "ReLU" bottom: "data" top: "data" }'
    flatten = 'layer { name: "f" type: "Flatten" bottom: "data" top: "f" }'

    assert infer(read(relu + flatten).net(Phase.TRAIN), SHAPES).blobs["f"] == (64, 784)
    with pytest.raises(TopologyError, match="f: a Flatten cannot work in place"):
        infer(read(relu + flatten.replace('top: "f"', 'top: "data"')).net(Phase.TRAIN), SHAPES)
