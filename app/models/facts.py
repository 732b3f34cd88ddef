"""What a model's page says about it in words: what it waits for, how it was made, what to do when it failed."""

from __future__ import annotations

from pathlib import Path

from app.augmentation import Augmentation, Flip, QuadRotation
from app.db import Model, Snapshot, Status
from app.preprocessing import MeanMode, Preprocessing
from app.schemas.datasets import resize_text
from app.solver.spec import SolverSpec

TAIL_BYTES = 128 * 1024
# Which parameters a learning rate policy and a solver look at; the others are not shown.
POLICY_FIELDS = {
    "step": ("gamma", "stepsize"),
    "multistep": ("gamma", "stepvalues"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "poly": ("power",),
    "sigmoid": ("gamma", "stepsize"),
}
SOLVER_FIELDS = {
    "SGD": ("momentum",),
    "Nesterov": ("momentum",),
    "AdaGrad": ("delta",),
    "RMSProp": ("rms_decay", "delta"),
    "AdaDelta": ("momentum", "delta"),
    "Adam": ("momentum", "momentum2", "delta"),
    "AdamW": ("momentum", "momentum2", "delta"),
}


def waits_for(model: Model) -> str:
    """The name of the dataset that a queued model waits for; empty when it waits for nothing but its turn."""
    if model.status != Status.QUEUED or model.dataset.status == Status.DONE:
        return ""
    return f"dataset “{model.dataset.name}”"


def advice(model: Model, last: Snapshot | None) -> str:
    """What somebody can do about a model that stopped or failed, in a sentence."""
    if model.status == Status.STOPPED:
        if last is None:
            return "It was stopped before the first snapshot. Resume begins from the start."
        return f"What was learnt up to epoch {last.epoch_label} is kept. Resume goes on from there."
    if model.status != Status.FAILED:
        return ""
    if model.dataset.status.has_ended and model.dataset.status != Status.DONE:
        return "Build its dataset again, then resume; or clone this model and choose another dataset."
    if last is None:
        return "Clone it to change what it was given, or resume to try once more from the start."
    return f"Resume goes on from the snapshot of epoch {last.epoch_label}; clone it to change what it was given."


def solver_facts(spec: SolverSpec) -> list[tuple[str, str]]:
    """How it learns, as label and value; only what has an effect."""
    facts = [
        ("Epochs", str(spec.epochs)),
        ("Batch size", f"{spec.batch_size} training, {spec.val_batch_size} validation, {spec.test_batch_size} test"),
        ("Solver", _with(spec.solver_type, spec, SOLVER_FIELDS.get(spec.solver_type, ()))),
        ("Base learning rate", f"{spec.base_lr:g}"),
        ("Learning rate policy", _with(spec.lr_policy, spec, POLICY_FIELDS.get(spec.lr_policy, ()))),
        ("Weight decay", f"{spec.weight_decay:g} ({spec.regularization_type})"),
        ("Validation", _every(spec.val_interval, "none")),
        ("Snapshot", _every(spec.snapshot_interval, "at the end")),
        ("Seed", str(spec.seed)),
        ("Precision", spec.precision),
    ]
    if spec.warmup_epochs > 0:
        facts.insert(5, ("Warm-up", f"{spec.warmup_epochs:g} epochs"))
    if spec.batch_accumulation > 1:
        facts.insert(2, ("Batch accumulation", f"{spec.batch_accumulation} batches a step"))
    if spec.patience > 0:
        facts.append(("Patience", f"{spec.patience} epochs without a better validation"))
    if spec.clip_gradients > 0:
        facts.append(("Longest gradient", f"{spec.clip_gradients:g}"))
    return facts


def input_facts(preprocessing: Preprocessing) -> list[tuple[str, str]]:
    """How a picture becomes the net's input, as label and value."""
    means = {MeanMode.NONE: "none", MeanMode.IMAGE: "mean image", MeanMode.PIXEL: "mean pixel"}
    mean = means[preprocessing.mean]
    if preprocessing.mean_values:
        mean += f" ({', '.join(f'{value:.1f}' for value in preprocessing.mean_values)})"
    return [
        ("Images", f"{preprocessing.width} × {preprocessing.height} {preprocessing.channels}"),
        ("Resize", resize_text(preprocessing)),
        ("Crop", f"{preprocessing.crop_size} × {preprocessing.crop_size}" if preprocessing.crop_size else "none"),
        ("Mirror", "half of the training images" if preprocessing.mirror else "no"),
        ("Mean subtracted", mean),
        ("Scale", f"{preprocessing.scale:g}"),
    ]


def variation_facts(settings: Augmentation) -> list[tuple[str, str]]:
    """How training images are varied beyond crop and mirror, as label and value; only what was chosen."""
    turns = {QuadRotation.BY_90: "0, 90 or 270°", QuadRotation.BY_180: "0 or 180°", QuadRotation.ALL: "any of four"}
    colours = [(name, getattr(settings, name)) for name in ("hue", "saturation", "brightness")]
    facts = [
        ("Flip upside down", "half of the training images" if Flip(settings.flip).is_up_down else ""),
        ("Quarter turns", turns.get(QuadRotation(settings.quad_rotation), "")),
        ("Rotation", f"up to ±{settings.rotation_degrees:g}°" if settings.rotation_degrees else ""),
        ("Zoom", f"1 ± {settings.zoom:g} (σ)" if settings.zoom else ""),
        ("Shift", f"up to ±{settings.shift:g} of a side" if settings.shift else ""),
        ("Colour", ", ".join(f"{name} σ {value:g}" for name, value in colours if value)),
        ("Contrast", f"factor 1 ± {settings.contrast:g}" if settings.contrast else ""),
        ("Noise", f"σ {settings.noise:g} of the range" if settings.noise else ""),
        ("Cutout", f"{settings.cutout:g} of the shorter side" if settings.cutout else ""),
    ]
    return [(label, value) for label, value in facts if value]


def log_tail(path: Path, lines: int) -> tuple[list[str], int]:
    """The last whole lines of a log, and the place (in bytes) from which a client follows it."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            data = file.read(TAIL_BYTES)
    except OSError:
        return [], 0
    start = max(0, size - TAIL_BYTES)
    whole = data[: data.rfind(b"\n") + 1]
    text = whole.decode("utf-8", "replace").splitlines()
    return text[-lines:], start + len(whole)


def _with(name: str, spec: SolverSpec, fields: tuple[str, ...]) -> str:
    given = [field for field in fields if getattr(spec, field) not in (None, ())]  # left out: a share of the training
    parts = [f"{field.replace('_', ' ')} {_value(getattr(spec, field))}" for field in given]
    return ", ".join([name, *parts])


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _every(epochs: float, never: str) -> str:
    if epochs <= 0:
        return never
    return "every epoch" if epochs == 1 else f"every {epochs:g} epochs"
