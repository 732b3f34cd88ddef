"""What a prototxt and a form say about a pretrained net before its weights are looked at. Pure but for the schema."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.invalid import InvalidFields
from app.preprocessing import Channels, MeanMode, Preprocessing
from app.schemas.pretrained import ChannelOrder, NewPretrained
from app.topology.check import input_shapes
from app.topology.data import DataSettings, data_settings
from app.topology.deploy import deploy_net
from app.topology.errors import Issue, TopologyError
from app.topology.fit import blank_classifiers, fit
from app.topology.layers import Shape, count
from app.topology.net import Phase
from app.topology.shapes import infer
from app.topology.text import Source, read
from app.topology.wiring import declared_shapes, wire

MOST_ISSUES_SHOWN = 5


class InvalidPretrained(InvalidFields):
    """The choices do not fit together; one message per field."""


class Unsaid(StrEnum):
    """What neither the form nor the prototxt says, so that something is assumed."""

    LABELS = "labels"
    MEAN = "mean"
    SCALE = "scale"
    RESIZE = "resize mode"
    ORDER = "channel order"


@dataclass(frozen=True)
class Facts:
    prototxt: str  # fitted to the labels
    topology_name: str
    labels: list[str]  # one for each output
    preprocessing: Preprocessing
    input_factors: tuple[float, ...]  # of the first layer's weights, per channel in the order of the form
    unsaid: tuple[Unsaid, ...]


def facts_of(form: NewPretrained) -> Facts:
    """Raises InvalidPretrained with a message for every field that does not fit."""
    try:
        source = read(form.prototxt)
    except TopologyError as error:
        raise InvalidPretrained({"prototxt": issues_in_words(error.issues)}) from error
    preprocessing = _preprocessing(form, source)
    if blank_classifiers(source) and not form.labels:
        raise InvalidPretrained({"labels": "The last layer has no num_output: the labels must say how many classes."})
    prototxt = fit(form.prototxt, len(form.labels)) if form.labels else form.prototxt
    labels = _labels(form, _outputs(read(prototxt), preprocessing))
    factors = tuple(1 / (one * preprocessing.scale) for one in form.std_values)
    return Facts(
        prototxt, (source.name or "net")[:255], labels, preprocessing, factors, _unsaid(form, source, preprocessing)
    )


def issues_in_words(issues: tuple[Issue, ...]) -> str:
    shown = [f"Line {issue.line}, column {issue.column}: {issue.message}" for issue in issues[:MOST_ISSUES_SHOWN]]
    return "\n".join(shown + ([f"… and {len(issues) - MOST_ISSUES_SHOWN} more."] if len(issues) > len(shown) else []))


def _preprocessing(form: NewPretrained, source: Source) -> Preprocessing:
    declared, settings = _declared(source), data_settings(source, Phase.TEST)
    channels = form.channels or _channels(form, declared, settings)
    side = settings.crop_size
    height, width = declared[1:] if declared else (side or 0, side or 0)
    crop = form.crop_size
    if declared and crop is None and (form.width, form.height) != (None, None) and height == width:
        crop = height if min(form.width or width, form.height or height) > height else None
    if declared is None and crop is None and form.width and form.height:
        crop = side
    width, height = form.width or width or form.height or 0, form.height or height or form.width or 0
    if not width or not height:
        message = "The prototxt does not say how large images are. Enter width and height."
        raise InvalidPretrained({"width": message})
    if crop is not None and crop > min(width, height):
        message = f"Expected at most {min(width, height)}, the shorter side of {width} × {height}, found {crop}."
        raise InvalidPretrained({"crop_size": message})
    means = tuple(form.mean_values) or settings.mean_values
    if len(means) not in (0, 1, channels.number):
        message = f"Expected 1 or {channels.number} numbers for {channels} images, found {len(means)}."
        raise InvalidPretrained({"mean_values": message})
    if form.channel_order is ChannelOrder.RGB:
        means = means[::-1]
    scale = _scale_of(form, channels) or form.scale or settings.scale or 1.0
    mean = MeanMode.PIXEL if means else MeanMode.NONE
    return Preprocessing(channels, width, height, form.resize_mode, mean=mean, mean_values=means, scale=scale,
                         crop_size=crop)  # fmt: skip


def _scale_of(form: NewPretrained, channels: Channels) -> float | None:
    """One factor for all channels where the form has a divisor for each; the first layer makes up for the rest."""
    if not form.std_values:
        return None
    if form.scale is not None:
        raise InvalidPretrained({"scale": "Expected a scale or standard deviations, found both."})
    if len(form.std_values) != channels.number:
        message = f"Expected {channels.number} numbers for {channels} images, found {len(form.std_values)}."
        raise InvalidPretrained({"std_values": message})
    return len(form.std_values) / sum(form.std_values)


def _declared(source: Source) -> Shape | None:
    """(C, H, W) of the image where the text says it."""
    net = wire(source, Phase.TEST).net
    shape = declared_shapes(source, Phase.TEST).get(net.inputs[0], ())
    return shape[1:] if len(shape) == 4 else None


def _channels(form: NewPretrained, declared: Shape | None, settings: DataSettings) -> Channels:
    number = declared[0] if declared else 0
    if number in (1, 3):
        return Channels.GRAY if number == 1 else Channels.COLOR
    if number:
        message = f"The prototxt takes images of {number} channels; expected 1 or 3."
        raise InvalidPretrained({"prototxt": message})
    if settings.is_color is not None:
        return Channels.COLOR if settings.is_color else Channels.GRAY
    if len(settings.mean_values or form.mean_values) == Channels.COLOR.number:
        return Channels.COLOR
    raise InvalidPretrained({"channels": "The prototxt does not say whether images are grey or colour. Choose one."})


def _outputs(source: Source, preprocessing: Preprocessing) -> int:
    """How many numbers the net answers with for one image."""
    try:
        net = deploy_net(source)
        shapes = infer(net, input_shapes(source, net, (1, *preprocessing.input_shape)))
    except TopologyError as error:
        raise InvalidPretrained({"prototxt": issues_in_words(error.issues)}) from error
    return count(shapes.blobs[net.outputs[0]])


def _labels(form: NewPretrained, outputs: int) -> list[str]:
    if form.labels and len(form.labels) != outputs:
        message = f"Expected {outputs:,} lines, one for each output of the net, found {len(form.labels):,}."
        raise InvalidPretrained({"labels": message})
    return form.labels or nameless(outputs)


def nameless(outputs: int) -> list[str]:
    """The labels of a net that came without."""
    return [f"class {number}" for number in range(outputs)]


def _unsaid(form: NewPretrained, source: Source, preprocessing: Preprocessing) -> tuple[Unsaid, ...]:
    given, settings = form.model_fields_set, data_settings(source, Phase.TEST)
    found = {
        Unsaid.LABELS: not form.labels,
        Unsaid.MEAN: preprocessing.mean is MeanMode.NONE,
        Unsaid.SCALE: form.scale is None and not form.std_values and settings.scale is None,
        Unsaid.RESIZE: "resize_mode" not in given,
        Unsaid.ORDER: "channel_order" not in given and preprocessing.channels is Channels.COLOR,
    }
    return tuple(one for one, is_unsaid in found.items() if is_unsaid)
