"""The net that predicts: what stays, what goes, what the answer is."""

import pytest

from app.topology.deploy import deploy_net
from app.topology.errors import TopologyError
from app.topology.fit import fit_source
from app.topology.heads import loss_weights, losses, main_accuracy, main_loss
from app.topology.net import Net, Phase
from app.topology.text import read
from app.topology.zoo import zoo, zoo_entry
from tests.topology.texts import SMALL


def deployed(text: str) -> Net:
    return deploy_net(read(text))


def names(net: Net) -> list[str]:
    return [layer.name for layer in net.layers]


def test_the_loss_becomes_a_softmax_and_accuracy_goes() -> None:
    net = deployed(SMALL)

    assert names(net) == ["conv", "relu", "ip", "prob"]
    assert (net.inputs, net.outputs, net.phase) == (("data",), ("prob",), Phase.TEST)
    assert (net.layers[-1].type, net.layers[-1].bottoms) == ("Softmax", ("ip",))


def test_googlenet_loses_its_auxiliary_classifiers() -> None:
    net = deploy_net(fit_source(read(zoo_entry("googlenet").prototxt), 10))

    assert not [name for name in names(net) if name.startswith(("loss1", "loss2"))]
    assert names(net)[-2:] == ["loss3/classifier", "prob"]


@pytest.mark.parametrize("entry", zoo(), ids=lambda entry: entry.id)
def test_every_net_of_the_zoo_leads_from_image_to_probabilities(entry) -> None:
    net = deploy_net(fit_source(read(entry.prototxt), 10))

    assert (net.inputs, net.outputs) == (("data",), ("prob",))
    assert not {"Accuracy", "SoftmaxWithLoss"} & {layer.type for layer in net.layers}


@pytest.mark.parametrize(
    ("loss", "last"),
    [
        ('type: "SigmoidCrossEntropyLoss" bottom: "ip" bottom: "label"', ("prob", "Sigmoid")),
        ('type: "EuclideanLoss" bottom: "ip" bottom: "label"', ("ip", "InnerProduct")),
        ('type: "HingeLoss" bottom: "ip" bottom: "label"', ("ip", "InnerProduct")),
    ],
)
def test_other_losses_answer_with_what_they_compare(loss: str, last: tuple[str, str]) -> None:
    net = deployed(SMALL.replace('type: "SoftmaxWithLoss" bottom: "ip" bottom: "label"', loss))

    assert (net.layers[-1].name, net.layers[-1].type) == last


def test_a_softmax_that_is_there_already_is_the_answer() -> None:
    text = SMALL + 'layer { name: "p" type: "Softmax" bottom: "ip" top: "p" }'

    assert deployed(text).outputs == ("p",)


def test_the_stage_deploy_of_digits_is_followed() -> None:
    text = SMALL.replace('top: "loss"', 'top: "loss" exclude { stage: "deploy" }')
    text += 'layer { name: "softmax" type: "Softmax" bottom: "ip" top: "softmax" include { stage: "deploy" } }'

    assert deployed(text).outputs == ("softmax",)


def test_what_digits_does_to_images_only_in_deploy_is_left_to_preprocessing() -> None:
    """Its LeNet: Data layers that scale and make "scaled"; a Power layer that does so where there is no data layer."""
    text = """
    layer { name: "t" type: "Data" top: "scaled" top: "label"
            transform_param { scale: 0.5 } include { stage: "train" } }
    layer { name: "v" type: "Data" top: "scaled" top: "label"
            transform_param { scale: 0.5 } include { stage: "val" } }
    layer { name: "s" type: "Power" bottom: "data" top: "scaled"
            power_param { scale: 0.5 } include { stage: "deploy" } }
    layer { name: "ip" type: "InnerProduct" bottom: "scaled" top: "ip" }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" exclude { stage: "deploy" } }
    layer { name: "softmax" type: "Softmax" bottom: "ip" top: "softmax" include { stage: "deploy" } }
    """

    assert (names(deployed(text)), deployed(text).inputs) == (["ip", "softmax"], ("scaled",))


def test_a_pair_of_nets_answers_with_the_first_of_what_it_compares() -> None:
    text = """
    layer { name: "slice" type: "Slice" bottom: "data" top: "left" top: "right" }
    layer { name: "a" type: "InnerProduct" bottom: "left" top: "a" param { name: "w" }
            inner_product_param { num_output: 2 } }
    layer { name: "b" type: "InnerProduct" bottom: "right" top: "b" param { name: "w" }
            inner_product_param { num_output: 2 } }
    layer { name: "loss" type: "ContrastiveLoss" bottom: "a" bottom: "b" bottom: "label" }
    """

    assert (names(deployed(text)), deployed(text).outputs) == (["slice", "a"], ("a",))


def test_a_deploy_text_is_its_own_deployment() -> None:
    text = """input: "data" input_dim: 1 input_dim: 1 input_dim: 8 input_dim: 8
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } }
    layer { name: "out" type: "Softmax" bottom: "ip" top: "out" }"""

    assert (names(deployed(text)), deployed(text).outputs) == (["ip", "out"], ("out",))


def test_a_name_that_is_taken_is_not_given_again() -> None:
    text = SMALL.replace('"conv"', '"prob"')

    assert names(deployed(text))[-1] == "prob_2"


def test_in_place_layers_between_scores_and_loss_stay() -> None:
    text = SMALL.replace(
        'layer { name: "loss"', 'layer { name: "r" type: "ReLU" bottom: "ip" top: "ip" } layer { name: "loss"'
    )

    assert names(deployed(text)) == ["conv", "relu", "ip", "r", "prob"]


def test_a_loss_of_training_only_still_names_the_scores() -> None:
    assert deployed(SMALL.replace('top: "loss"', 'top: "loss" include { phase: TRAIN }')).outputs == ("prob",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no loss and no Softmax"),
        (
            SMALL.replace('bottom: "data"  top: "conv"', 'bottom: "label"  top: "conv"'),
            'conv: prediction has only the image "data", not "label"',
        ),
    ],
)
def test_a_net_without_answer_is_refused(text: str, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        deployed(text)


def test_loss_weights_are_one_for_losses_and_zero_for_others_unless_given() -> None:
    net = read(SMALL.replace('top: "loss"', 'top: "loss" top: "probabilities"')).net(Phase.TEST)

    assert {layer.name: loss_weights(layer) for layer in net.layers} == {
        "conv": (0,),
        "relu": (0,),
        "ip": (0,),
        "loss": (1, 0),
        "accuracy": (0,),
    }


def test_the_main_loss_is_the_weightiest_and_the_last_of_equals() -> None:
    net = read(zoo_entry("googlenet").prototxt).net(Phase.TRAIN)

    assert [layer.name for layer in losses(net)] == ["loss1/loss", "loss2/loss", "loss3/loss"]
    assert main_loss(net).name == "loss3/loss"
    assert [loss_weights(layer)[0] for layer in losses(net)] == pytest.approx([0.3, 0.3, 1])


def test_the_main_accuracy_is_the_last_of_top_1() -> None:
    assert main_accuracy(read(zoo_entry("alexnet").prototxt).net(Phase.TEST)).name == "accuracy"
    assert main_accuracy(read(SMALL).net(Phase.TRAIN)) is None
