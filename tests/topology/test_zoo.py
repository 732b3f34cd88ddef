"""The nets of the zoo: published counts, shapes as OpenCV works them out, and where they fit."""

import pytest

from app.topology.check import check
from app.topology.data import data_settings
from app.topology.errors import TopologyError
from app.topology.net import Phase
from app.topology.text import read
from app.topology.writing import deploy_text
from app.topology.zoo import FOLDER, zoo, zoo_entry
from tests.topology.texts import opencv_net, opencv_shapes, preprocessing_of, randomly_weighted

# Learnable parameters and the classes they are published for, while training and deployed.
PUBLISHED = {
    "lenet": (431_080, 431_080, 10),
    "cifar10-quick": (145_578, 145_578, 10),
    "alexnet": (60_965_224, 60_965_224, 1000),
    "caffenet": (60_965_224, 60_965_224, 1000),
    "googlenet": (13_378_280, 6_998_552, 1000),
    "vgg16": (138_357_544, 138_357_544, 1000),
    "squeezenet": (1_235_496, 1_235_496, 1000),
    "resnet18": (11_689_512, 11_689_512, 1000),
    "resnet50": (25_557_032, 25_557_032, 1000),
    "mobilenet": (4_231_976, 4_231_976, 1000),
    "nin": (7_595_176, 7_595_176, 1000),
}
# Multiply-adds of one image in millions, as the papers and lists of models give them (to a few per cent).
MILLIONS = {"alexnet": 724, "vgg16": 15_470, "resnet18": 1_820, "resnet50": 3_860, "mobilenet": 569}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str) -> None:
    entry = zoo_entry(name)
    training, deployed, classes = PUBLISHED[name]
    report = check(entry.prototxt, entry.channels, entry.image_size, entry.image_size, classes)

    assert report.errors == []
    assert (report.parameters, report.deployed_parameters) == (training, deployed)
    assert (entry.published_parameters, entry.published_classes) == (training, classes)


@pytest.mark.parametrize("name", MILLIONS)
def test_multiply_adds_are_the_published_ones(name: str) -> None:
    entry = zoo_entry(name)
    report = check(entry.prototxt, 3, entry.image_size, entry.image_size, 1000, batch_size=4)

    assert report.multiply_adds / 1e6 == pytest.approx(MILLIONS[name], rel=0.02)


def test_the_list_names_every_file() -> None:
    assert {entry.id for entry in zoo()} == {path.stem for path in FOLDER.glob("*.prototxt")} == set(PUBLISHED)
    assert zoo_entry("resnet1000") is None


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "vgg16"])  # half a gigabyte of weights
@pytest.mark.parametrize("larger", [0, 13])
def test_opencv_reads_our_files_and_finds_the_same_shapes(name: str, larger: int) -> None:
    entry = zoo_entry(name)
    size = min(entry.image_size, 128) + larger
    image = (entry.channels, size, size)
    weights, shapes = randomly_weighted(entry.prototxt, image, 10)
    theirs = opencv_shapes(opencv_net(deploy_text(entry.prototxt, preprocessing_of(*image), 10), weights), (1, *image))

    assert {info.name: info.top_shapes[0] for info in shapes} == {info.name: theirs[info.name] for info in shapes}


@pytest.mark.parametrize("entry", zoo(), ids=lambda entry: entry.id)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [2, 5, 17])
def test_every_net_fits_itself_to_channels_and_classes(entry, channels: int, classes: int) -> None:
    for size in (entry.smallest_size, entry.image_size):
        assert check(entry.prototxt, channels, size, size, classes).errors == []


@pytest.mark.parametrize("entry", [entry for entry in zoo() if entry.id != "mobilenet"], ids=lambda e: e.id)
def test_a_net_on_too_small_images_says_what_does_not_fit_and_what_would(entry) -> None:
    report = check(entry.prototxt, 3, 2, 2, 10)

    assert "exceeds its input" in report.errors[0].message
    advice = next(issue.message for issue in report.warnings if "fit this net" in issue.message)
    size = int(advice.split("×")[0].removeprefix("images of "))
    assert check(entry.prototxt, 3, size, size, 10).errors == []


def test_texts_are_laid_out_for_people() -> None:
    for entry in zoo():
        lines = entry.prototxt.splitlines()
        assert max(map(len, lines)) <= 120
        assert lines[0].startswith("# ")
        assert data_settings(read(entry.prototxt), Phase.TRAIN).crop_size in (None, entry.image_size)


def test_list_texts_name_size_and_channels() -> None:
    assert zoo_entry("lenet").image_size_text == "28 x 28 (gray)"
    assert zoo_entry("googlenet").image_size_text == "224 x 224 (color)"


def test_layers_whose_weights_are_published_keep_their_names() -> None:
    names = {layer.options.name for layer in read(zoo_entry("googlenet").prototxt).layers}

    assert {"conv1/7x7_s2", "inception_3a/5x5_reduce", "inception_5b/pool_proj", "loss3/classifier"} <= names


def test_no_net_of_the_zoo_needs_to_be_filled_in_by_hand() -> None:
    for entry in zoo():
        try:
            deploy_text(entry.prototxt, preprocessing_of(3, entry.image_size, entry.image_size), 10)
        except TopologyError as error:
            pytest.fail(f"{entry.id}: {error}")
