"""Reading prototxt: its forms, its faults and their places, its limits."""

import pytest

from app.topology.errors import TopologyError
from app.topology.net import Phase
from app.topology.text import MOST_CHARACTERS, MOST_LAYERS, read, read_leniently
from tests.topology.texts import SMALL, issues_of

V1 = """name: "old"
input: "data"
input_dim: 2 input_dim: 1 input_dim: 8 input_dim: 9
input: "label" input_dim: 2 input_dim: 1 input_dim: 1 input_dim: 1
layers {
  name: "conv" type: CONVOLUTION bottom: "data" top: "conv"
  blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
  param: "w" param: "b" blob_share_mode: PERMISSIVE
  convolution_param { num_output: 4 kernel_size: 3 }
}
layers { name: "relu" type: RELU bottom: "conv" top: "conv" relu_param { negative_slope: 0.1 } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "conv" bottom: "label" loss_weight: 2 include: { phase: TRAIN } }
"""


def test_a_net_is_read_with_its_lines() -> None:
    net = read(SMALL).net(Phase.TRAIN)

    assert net.name == "small"
    assert [(layer.name, layer.type, layer.line) for layer in net.layers] == [
        ("conv", "Convolution", 4),
        ("relu", "ReLU", 8),
        ("ip", "InnerProduct", 9),
        ("loss", "SoftmaxWithLoss", 10),
    ]
    assert net.layers[0].options.convolution_param.kernel_size == [3]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('layer { name: "a" type: "ReLU" ', (1, 25, 'expected "}"')),
        ('name: "x"\nlayer {\n  name: "a"\n  type: ReLU\n}', (4, 9, "expected string but found: 'ReLU'")),
        ('layer {\n  name: "a" type: "ReLU"\n  kernel: 3\n}', (3, 3, 'unknown field "kernel" in LayerParameter')),
        (
            'layer { name: "a" type: "Convolution" convolution_param {\n kernelsize: 3 } }',
            (2, 2, 'unknown field "kernelsize" in ConvolutionParameter; is "kernel_size" meant?'),
        ),
        (
            'layer { name: "a" type: "Pooling" pooling_param { pool: MEAN } }',
            (1, 57, "unknown value MEAN; expected MAX, AVE or STOCHASTIC"),
        ),
        ("layers { type: CONVOLUTON }", (1, 16, "unknown value CONVOLUTON; is CONVOLUTION meant?")),
        ('layer { name: "a" name: "b" type: "ReLU" }', (1, 25, '"name" is given twice in LayerParameter')),
        ('name: "a"\nname: "b"', (2, 7, '"name" is given twice in a net')),
        ('layer { name: "a" type: "Relu" }', (1, 1, 'a: unknown layer type "Relu"; is "ReLU" meant?')),
        ('\n layer { name: "a" type: "Python" }', (2, 2, 'a: unknown layer type "Python"')),
        ('layer { name: "a" }', (1, 1, "a: type is missing")),
        ('layers { type: RELU } layer { type: "ReLU" }', (1, 1, "layers { } is the old form of layer { }: use one")),
        (
            'layer { type: "ReLU" include { } exclude { } }',
            (1, 1, "a layer: has include and exclude; only one of them"),
        ),
        ("layer { convolution_param { num_output: 99999999999 } }", (1, 41, "value out of range: 99999999999")),
        ("layer { convolution_param { num_output: -1 } }", (1, 41, "value out of range: -1")),
        ("<html>", (1, 1, "expected identifier or number, got <")),
        ("layer { ] }", (1, 9, "expected identifier or number, got ]")),
        ("name: 'x\n'", (1, 7, 'string missing ending quote: "\'x"')),
        ("\x00", (1, 1, "expected identifier")),
        ("}", (1, 1, "expected identifier or number, got }")),
    ],
)
def test_faults_are_named_with_line_and_column(text: str, expected: tuple[int, int, str]) -> None:
    issues = issues_of(text)

    assert issues
    assert issues[0][:2] == expected[:2]
    assert issues[0][2].startswith(expected[2])


def test_every_layer_is_looked_at_though_one_is_wrong() -> None:
    text = 'layer { type: "Relu" }\nlayer { foo: 1 }\nlayer { bar: 1 }'

    assert [line for line, _, _ in issues_of(text)] == [1, 2, 3]


def test_the_message_of_the_error_names_lines() -> None:
    with pytest.raises(TopologyError, match=r'unknown layer type "Relu"; is "ReLU" meant\? \(line 1\)'):
        read('layer { name: "a" type: "Relu" }')


def test_the_old_form_is_upgraded() -> None:
    net = read(V1).net(Phase.TRAIN)
    conv, relu, loss = net.layers

    assert net.inputs == ("data", "label")
    assert (conv.type, relu.type, loss.type) == ("Convolution", "ReLU", "SoftmaxWithLoss")
    assert [(param.name, param.lr_mult, param.decay_mult) for param in conv.options.param] == [("w", 1, 1), ("b", 2, 0)]
    assert conv.options.param[0].share_mode == conv.options.param[0].PERMISSIVE
    assert relu.options.relu_param.negative_slope == pytest.approx(0.1)
    assert list(loss.options.loss_weight) == [2]
    assert loss.tops == ("loss",)  # Caffe makes one up, too
    assert [layer.line for layer in net.layers] == [5, 11, 12]


@pytest.mark.parametrize(
    ("other", "today"),
    [
        ("SoftmaxLoss", "SoftmaxWithLoss"),
        ("DepthwiseConvolution", "Convolution"),
        ("ConvolutionDepthwise", "Convolution"),
    ],
)
def test_other_names_of_a_type_are_read_as_todays(other: str, today: str) -> None:
    assert read(f'layer {{ name: "x" type: "{other}" }}').layers[0].options.type == today


def test_every_old_type_has_its_new_name() -> None:
    from app.topology import caffe_pb2
    from app.topology.upgrade import V1_TYPES

    assert set(V1_TYPES) == set(caffe_pb2.V1LayerParameter.LayerType.keys())


def test_transforms_of_old_data_layers_move_to_transform_param() -> None:
    text = 'layers { name: "d" type: DATA top: "data" data_param { scale: 0.5 crop_size: 20 mirror: true } }'
    options = read(text).layers[0].options

    assert (options.transform_param.scale, options.transform_param.crop_size, options.transform_param.mirror) == (
        0.5,
        20,
        True,
    )
    assert not options.data_param.HasField("scale")


@pytest.mark.parametrize(
    "header",
    [
        'input: "x" input_dim: 1 input_dim: 3 input_dim: 5 input_dim: 7',
        'input: "x" input_shape { dim: 1 dim: 3 dim: 5 dim: 7 }',
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 5 dim: 7 } } }',
    ],
)
def test_every_form_of_input_names_blob_and_shape(header: str) -> None:
    from app.topology.wiring import declared_shapes

    source = read(header + ' layer { name: "r" type: "ReLU" bottom: "x" top: "r" }')

    assert source.net(Phase.TEST).inputs == ("x",)
    assert declared_shapes(source, Phase.TEST) == {"x": (1, 3, 5, 7)}


@pytest.mark.parametrize("change", ["\ufeff{}", "{}\r\n"])
def test_byte_order_marks_and_windows_line_ends_are_read(change: str) -> None:
    text = change.format(SMALL.replace("\n", "\r\n") if "\r" in change else SMALL)

    assert [layer.line for layer in read(text).net(Phase.TRAIN).layers] == [4, 8, 9, 10]


def test_names_may_be_japanese_and_long_but_not_endless() -> None:
    name = "畳み込み" * 50
    text = SMALL.replace('"conv"', f'"{name}"')

    assert read(text).net(Phase.TRAIN).layers[0].name == name
    assert "longer than 200 characters" in issues_of(text.replace(name, name + "x"))[0][2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" " * (MOST_CHARACTERS + 1), "at most 1,000,000 are read"),
        ("layer{}" * (MOST_LAYERS + 1), "1,501 layers; at most 1,500"),
        ("input_dim: 1 " * 50_000, "more than 60,000 words"),
    ],
)
def test_too_long_texts_are_refused_before_they_are_read(text: str, expected: str) -> None:
    source, issues = read_leniently(text)

    assert source is None
    assert len(issues) == 1
    assert expected in issues[0].message


def test_an_empty_text_is_an_empty_net() -> None:
    assert read("").net(Phase.TRAIN).layers == ()


def test_places_of_options_are_found() -> None:
    source = read(SMALL)
    conv = source.layers[2]

    assert source.place_of(conv) == (4, 1)
    assert source.place_of(conv, "kernel_size") == (6, 38)
    assert source.place_of(conv, "bottom", "data") == (5, 38)
    assert source.place_of(conv, "stride") == (4, 1)
