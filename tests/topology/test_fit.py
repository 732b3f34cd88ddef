"""Blank classifiers, and Accuracy layers that ask for too much."""

import pytest

from app.topology.errors import TopologyError
from app.topology.fit import blank_classifiers, fit, fit_source
from app.topology.text import read
from app.topology.zoo import zoo


def net(*layers: str) -> str:
    return "\n".join(layers) + "\n"


CLASSIFIER = """layer {
  name: "ip"  type: "InnerProduct"  bottom: "data"  top: "ip"
  inner_product_param {  # the classifier
    weight_filler { type: "xavier" }
  }
}"""


def num_outputs(text: str) -> list[int]:
    return [
        layer.options.inner_product_param.num_output or layer.options.convolution_param.num_output
        for layer in read(text).layers
        if layer.options.type in ("InnerProduct", "Convolution")
    ]


def test_a_blank_inner_product_gets_the_number_of_classes() -> None:
    fitted = fit(CLASSIFIER, 7)

    assert num_outputs(fitted) == [7]
    assert "# the classifier" in fitted


def test_a_blank_on_a_line_of_its_own_is_filled_on_a_line_of_its_own() -> None:
    assert fit(CLASSIFIER.replace("  # the classifier", ""), 7).splitlines()[2:5] == [
        "  inner_product_param {",
        "    num_output: 7",
        '    weight_filler { type: "xavier" }',
    ]


@pytest.mark.parametrize(
    "text",
    [
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" }',
        'layer { type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { } }',
        'layer { type: "InnerProduct" bottom: "data" top: "ip" inner_product_param < bias_term: false > }',
        'layer { type: "InnerProduct" name: "inner_product_param {" bottom: "data" inner_product_param: { } }',
        'layers { type: INNER_PRODUCT bottom: "data" top: "ip" }',
        'layer: [ { type: "InnerProduct" bottom: "data" top: "ip" } ]',
        'layer { type: "Convolution" bottom: "data" top: "ip" convolution_param { kernel_size: 1 } }',
    ],
)
def test_every_way_to_leave_it_blank_is_filled(text: str) -> None:
    assert num_outputs(fit(text, 12)) == [12]


def test_numbers_that_are_given_stay() -> None:
    text = net(CLASSIFIER.replace("weight_filler", "num_output: 5 weight_filler"), "# a remark")

    assert fit(text, 7) == text


def test_a_blank_convolution_before_another_one_is_a_slip_and_stays_blank() -> None:
    conv = 'layer {{ name: "{0}" type: "Convolution" bottom: "{1}" top: "{0}" convolution_param {{ kernel_size: 1 }} }}'
    text = net(conv.format("a", "data"), conv.format("b", "a"))

    assert [layer.options.name for layer in blank_classifiers(read(text))] == ["b"]


@pytest.mark.parametrize(("classes", "kept"), [(4, [1]), (5, [1, 5]), (1000, [1, 5])])
def test_accuracies_of_more_best_classes_than_there_are_go(classes: int, kept: list[int]) -> None:
    accuracy = 'layer {{ name: "a{0}" type: "Accuracy" bottom: "ip" top: "a{0}" accuracy_param {{ top_k: {0} }} }}'
    text = net(CLASSIFIER, "# one", accuracy.format(1), "# five", "  " + accuracy.format(5), "# end")
    fitted = fit(text, classes)

    assert [layer.options.accuracy_param.top_k for layer in read(fitted).layers[1:]] == kept
    assert fitted.splitlines()[-1] == "# end"


def test_text_and_message_are_fitted_alike() -> None:
    for entry in zoo():
        for classes in (2, 10, 1000):
            of_text = read(fit(entry.prototxt, classes))
            of_message = fit_source(read(entry.prototxt), classes)
            assert [layer.options for layer in of_text.layers] == [layer.options for layer in of_message.layers]


def test_fitting_twice_changes_nothing_more() -> None:
    for entry in zoo():
        assert fit(fit(entry.prototxt, 3), 3) == fit(entry.prototxt, 3)


def test_fitting_leaves_what_was_read_as_it_was() -> None:
    source = read(CLASSIFIER)
    fit_source(source, 9)

    assert not read(CLASSIFIER).layers[0].options.inner_product_param.HasField("num_output")


def test_a_text_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(TopologyError):
        fit("layer {", 10)
