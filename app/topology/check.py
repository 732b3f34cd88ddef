"""Everything the editor says about a text for a dataset: its layers with shapes and sizes, its faults, its remarks.

`check` never raises, whatever the text is, and takes well under a second: every step before it is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from app.topology.deploy import deploy_net
from app.topology.errors import Issue, TopologyError, shorten
from app.topology.fit import fit_source, too_wide_accuracies
from app.topology.heads import LABEL_LOSSES, loss_weights, losses, main_accuracy
from app.topology.layers import Shape, as_text, count
from app.topology.layers.registry import MOST_ELEMENTS
from app.topology.net import Layer, Net, Phase
from app.topology.shapes import LayerInfo, Memo, Shapes, trace
from app.topology.text import Source, SourceLayer, read_leniently
from app.topology.wiring import Wired, data_layers, declared_shapes, wire

SIZES_TO_TRY = (28, 32, 48, 64, 96, 128, 160, 192, 224, 227, 256, 299, 331, 384, 448, 512)
MOST_ISSUES = 100
BYTES_PER_NUMBER = 4  # float32


@dataclass(frozen=True)
class LayerReport:
    """One line of the editor's table."""

    name: str
    type: str
    shapes: tuple[Shape, ...]  # of its tops, at the batch size asked for
    parameters: int  # learnable numbers
    activations_bytes: int  # of its tops in float32; 0 for a layer that works in place
    multiply_adds: int  # for one image
    line: int
    phases: tuple[Phase, ...] = ()


@dataclass
class Report:
    """What can be said about a text for a dataset."""

    name: str = ""
    layers: list[LayerReport] = field(default_factory=list)
    parameters: int = 0  # learnable, while training
    deployed_parameters: int = 0  # learnable, in the net that predicts
    errors: list[Issue] = field(default_factory=list)
    warnings: list[Issue] = field(default_factory=list)

    @property
    def activations_bytes(self) -> int:
        return sum(layer.activations_bytes for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """For one image, while training."""
        return sum(layer.multiply_adds for layer in self.layers)


@dataclass(frozen=True)
class _Images:
    channels: int
    height: int
    width: int
    batch_size: int

    @property
    def shape(self) -> Shape:
        return self.batch_size, self.channels, self.height, self.width


def check(text: str, channels: int, height: int, width: int, classes: int, batch_size: int = 1) -> Report:
    """The report on a text for images of this size and this many classes."""
    report = Report()
    images = _Images(channels, height, width, batch_size)
    if min(*images.shape, classes) < 1 or max(count(images.shape), classes) > MOST_ELEMENTS:
        sizes = f"{as_text(images.shape)}, {classes} classes"
        report.errors.append(Issue(1, 1, f"expected positive sizes that fit into memory, found {sizes}"))
        return report
    source, issues = read_leniently(text)
    report.errors += issues
    if source is not None and (source.layers or not issues):
        _check_source(report, source, images, classes)
    report.errors = sorted(set(report.errors))[:MOST_ISSUES]
    report.warnings = sorted(set(report.warnings) - set(report.errors))[:MOST_ISSUES]
    return report


def _check_source(report: Report, source: Source, images: _Images, classes: int) -> None:
    report.name = source.name
    was_readable = not report.errors
    for layer in too_wide_accuracies(source, classes):
        top_k = layer.options.accuracy_param.top_k
        message = f"{layer.options.name}: top_k {top_k} is left out, there are only {classes} classes"
        report.warnings.append(Issue(layer.line, layer.column, shorten(message)))
    source = fit_source(source, classes)
    rows: dict[int, LayerReport] = {}
    memo: Memo = {}
    for phase in Phase:
        wired = wire(source, phase)
        shapes = _trace_phase(report, wired, images, memo)
        _add_rows(rows, wired, shapes, images)
        _check_fed(report, wired)
        _check_unread(report, wired)
        if phase is Phase.TRAIN:
            report.parameters = shapes.parameters
            _check_objective(report, wired.net, shapes)
        elif was_readable and not report.errors and main_accuracy(wired.net) is None:
            report.warnings.append(Issue(1, 1, "no Accuracy layer in phase TEST: no accuracy can be shown"))
        _check_scores(report, wired, shapes, classes)
    report.layers = [rows[line] for line in sorted(rows)]
    if was_readable and not report.errors:
        _check_deployment(report, source, images, memo)
    elif was_readable:
        _suggest_size(report, source, images)


def _trace_phase(report: Report, wired: Wired, images: _Images, memo: Memo) -> Shapes:
    shapes, faults = trace(wired.net, input_shapes(wired.source, wired.net, images.shape), memo, wired.unmade)
    origins = _origins(wired)
    report.errors += wired.faults
    report.warnings += wired.remarks
    known = {issue.line for issue in report.errors}
    for fault in faults:
        origin = origins[fault.layer.name]
        if fault.option == "type" and fault.message.startswith("unknown layer type") and origin.line in known:
            continue  # said when the text was read
        place = wired.source.place_of(origin, fault.option)
        report.errors.append(Issue(*place, shorten(f"{fault.layer.name}: {fault.message}")))
    for info in shapes:
        origin = origins[info.name]
        for remark in (*info.remarks, *_shrunk(info, shapes)):
            report.warnings.append(Issue(origin.line, origin.column, shorten(f"{info.name}: {remark}")))
    return shapes


def input_shapes(source: Source, net: Net, image: Shape) -> dict[str, Shape]:
    """Shapes of a net's inputs: the image, one label per image, and what the text itself says about any others."""
    declared = declared_shapes(source, net.phase)
    shapes = {blob: (image[0], *declared[blob][1:]) for blob in net.inputs if blob in declared}
    for blob in net.inputs[1:]:
        if "label" in blob.lower() or (blob not in declared and len(net.inputs) == 2):
            shapes[blob] = image[:1]
    return shapes | dict.fromkeys(net.inputs[:1], image)


def _origins(wired: Wired) -> dict[str, SourceLayer]:
    return {layer.name: origin for layer, origin in zip(wired.net.layers, wired.origins, strict=True)}


def _add_rows(rows: dict[int, LayerReport], wired: Wired, shapes: Shapes, images: _Images) -> None:
    origins = _origins(wired)
    for info in shapes:
        place = origins[info.name].start
        earlier = rows.get(place)
        phases = (*(earlier.phases if earlier else ()), wired.net.phase)
        in_place = bool(set(info.tops) & set(info.bottoms))
        rows[place] = LayerReport(
            name=info.name,
            type=info.type,
            shapes=info.top_shapes,
            parameters=info.parameters,
            activations_bytes=0 if in_place else BYTES_PER_NUMBER * sum(map(count, info.top_shapes)),
            multiply_adds=info.multiply_adds // images.batch_size,
            line=info.layer.line,
            phases=phases,
        )


def _check_fed(report: Report, wired: Wired) -> None:
    """A dataset of labelled images feeds two blobs; nobody feeds a third."""
    for blob in wired.net.inputs[2:]:
        for layer in data_layers(wired.source, wired.net.phase):
            if blob in layer.options.top:
                place = wired.source.place_of(layer, "top", blob)
                fed = " and ".join(f'"{name}"' for name in wired.net.inputs[:2])
                message = f'{layer.options.name}: a dataset feeds an image and its label ({fed}), but not "{blob}"'
                report.errors.append(Issue(*place, shorten(message)))


def _check_unread(report: Report, wired: Wired) -> None:
    makers = {top: layer for layer in wired.net.layers if not _may_end(layer) for top in layer.tops}
    ends = {top for layer in wired.net.layers if _may_end(layer) for top in layer.tops}
    origins = _origins(wired)
    unread = [blob for blob in wired.net.outputs if blob not in ends]
    for blob in unread[:MOST_ISSUES]:
        place = wired.source.place_of(origins[makers[blob].name], "top", blob)
        report.warnings.append(Issue(*place, shorten(f'{makers[blob].name}: no layer reads the blob "{blob}"')))


def _may_end(layer: Layer) -> bool:
    return layer.type in ("Accuracy", "Softmax", "ArgMax") or any(loss_weights(layer))


def _check_objective(report: Report, net: Net, shapes: Shapes) -> None:
    if report.errors:
        return
    if not losses(net):
        report.errors.append(Issue(1, 1, "no loss layer in phase TRAIN: there is nothing to learn from"))
    elif not shapes.parameters:
        report.errors.append(Issue(1, 1, "no layer has parameters: there is nothing to learn"))
    elif not any(_learns(info) for info in shapes):
        report.errors.append(Issue(1, 1, "every layer with parameters has lr_mult 0: there is nothing to learn"))


def _learns(info: LayerInfo) -> bool:
    rates = [param.lr_mult for param in info.layer.options.param]
    return bool(info.parameters) and (len(rates) < len(info.parameter_shapes) or any(rates))


def _check_scores(report: Report, wired: Wired, shapes: Shapes, classes: int) -> None:
    """A classifier needs one score per class; more are never used, fewer cannot name every label."""
    if len(wired.net.inputs) < 2:
        return
    origins = _origins(wired)
    for layer in wired.net.layers:
        if layer.type not in LABEL_LOSSES or layer.bottoms[1:2] != wired.net.inputs[1:2]:
            continue
        shape = shapes.blobs.get(layer.bottoms[0], ())
        if len(shape) < 2 or shape[1] == classes:
            continue
        message = f'{layer.name}: "{layer.bottoms[0]}" has {shape[1]} scores, the dataset has {classes} classes'
        issues = report.errors if shape[1] < classes else report.warnings
        issues.append(Issue(*wired.source.place_of(origins[layer.name], "bottom"), shorten(message)))


def _shrunk(info: LayerInfo, shapes: Shapes) -> tuple[str, ...]:
    """A remark where a window slides over a single pixel: the net has shrunk to nothing before it."""
    if info.type not in ("Convolution", "Pooling") or not info.bottoms:
        return ()
    shape = shapes.blobs.get(info.bottoms[0], ())
    if shape[2:] != (1, 1):
        return ()
    options = info.layer.options
    if info.type == "Pooling":
        has_window = not options.pooling_param.global_pooling and info.layer.options.pooling_param.kernel_size > 1
    else:
        has_window = info.parameter_shapes[0][2:] != (1, 1)
    return ("its input has shrunk to 1×1",) if has_window else ()


def _check_deployment(report: Report, source: Source, images: _Images, memo: Memo) -> None:
    try:
        net = deploy_net(source)
    except TopologyError as error:
        report.warnings += [Issue(i.line, i.column, f"prediction is not possible: {i.message}") for i in error.issues]
        return
    shapes, _ = trace(net, dict.fromkeys(net.inputs, images.shape), memo)
    report.deployed_parameters = shapes.parameters


def _suggest_size(report: Report, source: Source, images: _Images) -> None:
    """Where images are too small for the net, name the smallest that are not."""
    if not any("exceeds its input" in issue.message or "pad leaves" in issue.message for issue in report.errors):
        return
    net = wire(source, Phase.TRAIN).net
    for size in SIZES_TO_TRY:
        if size <= min(images.height, images.width):
            continue
        shape = (1, images.channels, size, size)
        if not trace(net, input_shapes(source, net, shape))[1]:
            found = f"{images.height}×{images.width}"
            report.warnings.append(Issue(1, 1, f"images of {size}×{size} fit this net; these are {found}"))
            return
