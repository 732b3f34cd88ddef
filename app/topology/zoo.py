"""The nets that come with Trainyard: `zoo/*.prototxt`, with what a list of them shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).parent / "zoo"


@dataclass(frozen=True)
class Suited:
    """How a net wants its images and its first learning rate: its fillers expect inputs of a certain size."""

    mean: str = "none"  # a MeanMode
    scale: float = 1 / 256
    base_lr: float = 0.01


@dataclass(frozen=True)
class ZooEntry:
    """One net of the zoo; `image_size` is the width and height of the images that it was made for, after cropping."""

    id: str
    name: str
    title: str
    image_size: int
    channels: int
    smallest_size: int  # images from here on fit
    published_parameters: int  # learnable, for `published_classes` classes
    published_classes: int
    note: str
    prototxt: str

    @property
    def suited(self) -> Suited:
        """What its published training was fed with, or what comes near to it."""
        return _SUITED.get(self.id, Suited())

    @property
    def image_size_text(self) -> str:
        """As in the list of topologies: "28 x 28 (gray)"."""
        return f"{self.image_size} x {self.image_size} ({'gray' if self.channels == 1 else 'color'})"


# id, name, title, image size, channels, smallest size, parameters for so many classes, note
_ENTRIES = (
    ("lenet", "LeNet", "two convolutions, for digits", 28, 1, 16, 431_080, 10,
     "Trains in minutes, without a GPU too."),
    ("cifar10-quick", "CIFAR-10 quick", "three convolutions, for thumbnails", 32, 3, 16, 145_578, 10,
     "Made for the mean image subtracted, scale 1 and a base learning rate of 0.001."),
    ("alexnet", "AlexNet", "five convolutions, three inner products", 227, 3, 64, 60_965_224, 1000,
     "Images of 256×256, cropped to 227×227."),
    ("caffenet", "CaffeNet", "AlexNet with pools before normalisation", 227, 3, 64, 60_965_224, 1000,
     "Images of 256×256, cropped to 227×227."),
    ("googlenet", "GoogLeNet", "nine inception modules", 224, 3, 80, 13_378_280, 1000,
     "Images of 256×256, cropped to 224×224; 6,998,552 parameters without the auxiliary classifiers."),
    ("vgg16", "VGG-16", "thirteen 3×3 convolutions", 224, 3, 32, 138_357_544, 1000,
     "Large: take a small batch."),
    ("squeezenet", "SqueezeNet 1.1", "eight fire modules", 227, 3, 32, 1_235_496, 1000,
     "A fiftieth of AlexNet's parameters."),
    ("resnet18", "ResNet-18", "eight residual blocks", 224, 3, 32, 11_689_512, 1000,
     "Batch normalisation; takes 32×32, too."),
    ("resnet50", "ResNet-50", "sixteen residual blocks", 224, 3, 32, 25_557_032, 1000,
     "Batch normalisation; take a small batch."),
    ("mobilenet", "MobileNet v1", "thirteen depthwise separable convolutions", 224, 3, 32, 4_231_976, 1000,
     "Small and quick at predicting."),
    ("nin", "NIN", "convolutions only, one map per class", 224, 3, 72, 7_595_176, 1000,
     "Network in network."),
)  # fmt: skip


_SUITED = {
    "cifar10-quick": Suited("image", 1.0, 0.001),
    "alexnet": Suited("image", 1.0),
    "caffenet": Suited("image", 1.0),
    "googlenet": Suited("pixel", 1.0),
    "vgg16": Suited("pixel", 1.0),
    "squeezenet": Suited("pixel", 1.0),
    "resnet18": Suited("pixel", 1 / 64),
    "resnet50": Suited("pixel", 1 / 64),
    "mobilenet": Suited("pixel", 1 / 64),
    "nin": Suited("image", 1.0),
}


@lru_cache(maxsize=1)
def _zoo() -> dict[str, ZooEntry]:
    return {
        entry[0]: ZooEntry(*entry, prototxt=(FOLDER / f"{entry[0]}.prototxt").read_text(encoding="utf-8"))
        for entry in _ENTRIES
    }


def zoo() -> list[ZooEntry]:
    """Every net of the zoo, the simplest first."""
    return list(_zoo().values())


def zoo_entry(id: str) -> ZooEntry | None:
    """The net of this id, or None."""
    return _zoo().get(id)
