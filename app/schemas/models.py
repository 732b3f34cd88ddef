"""What a client may say about a model, and what it gets back; used by pages and API alike."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from app.db import Model, Snapshot
from app.schemas.fields import decimal, lines, one_line, refusal, whole
from app.schemas.lists import any_number, several
from app.schemas.start import StartFields
from app.schemas.transformation import TransformationFields
from app.schemas.typed import named, optional, typed
from app.solver.spec import (
    LARGEST_BATCH,
    LARGEST_ITERATION,
    LARGEST_RATE,
    MOST_EPOCHS,
    LrPolicy,
    Precision,
    Regularization,
    SolverSpec,
    SolverType,
)
from app.solver.sweep import MOST_RUNS

MAX_PROTOTXT = 1_000_000  # characters; what `app/topology` reads at most
MAX_ID = 2**63 - 1
SMALLEST_RATE = 1e-12
DEFAULTS = SolverSpec()


def _list_schema(kind: str) -> WithJsonSchema:
    one = {"type": kind}
    return WithJsonSchema({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})


def _chosen_dataset(value: object) -> int:
    if value in (None, ""):
        raise refusal("Choose a dataset.")
    return whole(1, MAX_ID)(value)


DatasetId = Annotated[int, BeforeValidator(_chosen_dataset), Field(ge=1)]
Name = Annotated[str, BeforeValidator(one_line(200)), Field(min_length=1, max_length=200)]
Notes = Annotated[str, BeforeValidator(lines(10_000)), Field(max_length=10_000)]
Batch = Annotated[int, typed(whole(1, LARGEST_BATCH))]
Positive = Annotated[float, typed(decimal(0, 1e6))]
BatchSizes = Annotated[list[int], BeforeValidator(several(whole(1, LARGEST_BATCH))), _list_schema("integer")]
Rates = Annotated[list[float], BeforeValidator(several(decimal(SMALLEST_RATE, LARGEST_RATE))), _list_schema("number")]
Epochs = Annotated[float, typed(decimal(0, MOST_EPOCHS))]
Iteration = whole(1, LARGEST_ITERATION)


class SolverFields(BaseModel):
    """The solver's part of the form: one spec for every learning rate × batch size."""

    model_config = ConfigDict(extra="forbid")

    epochs: Annotated[int, typed(whole(1, MOST_EPOCHS))] = DEFAULTS.epochs
    batch_size: BatchSizes = Field([DEFAULTS.batch_size], description="One number, or several for a sweep")
    base_lr: Rates = Field([DEFAULTS.base_lr], description="One number, or several for a sweep")
    val_batch_size: Batch = DEFAULTS.val_batch_size
    test_batch_size: Batch = DEFAULTS.test_batch_size
    batch_accumulation: Annotated[int, typed(whole(1, 10_000))] = Field(
        DEFAULTS.batch_accumulation, description="Batches per step, Caffe's iter_size"
    )
    val_interval: Epochs = Field(DEFAULTS.val_interval, description="Epochs between validations; 0: none")
    snapshot_interval: Epochs = Field(DEFAULTS.snapshot_interval, description="Epochs; 0: only at the end")
    solver_type: Annotated[SolverType, named(SolverType)] = SolverType(DEFAULTS.solver_type)
    momentum: Positive = DEFAULTS.momentum
    momentum2: Positive = DEFAULTS.momentum2
    rms_decay: Positive = DEFAULTS.rms_decay
    delta: Positive = DEFAULTS.delta
    weight_decay: Positive = DEFAULTS.weight_decay
    regularization_type: Annotated[Regularization, named(Regularization)] = Regularization(DEFAULTS.regularization_type)
    clip_gradients: Annotated[float, typed(decimal(-1, 1e6))] = Field(
        DEFAULTS.clip_gradients, description="Longest gradient (global L2 norm); -1: off"
    )
    lr_policy: Annotated[LrPolicy, named(LrPolicy)] = LrPolicy(DEFAULTS.lr_policy)
    gamma: Annotated[float, typed(decimal(-1_000, 1_000))] = DEFAULTS.gamma
    power: Annotated[float, typed(decimal(0, 100))] = DEFAULTS.power
    stepsize: Annotated[int | None, optional(Iteration)] = Field(None, description="Iterations")
    stepvalues: Annotated[list[int], BeforeValidator(any_number(Iteration))] = Field([], description="Iterations")
    warmup_epochs: Epochs = DEFAULTS.warmup_epochs
    patience: Annotated[int, typed(whole(0, MOST_EPOCHS))] = Field(
        DEFAULTS.patience, description="Epochs without a better validation until training ends; 0: off"
    )
    seed: Annotated[int, typed(whole(0, LARGEST_ITERATION))] = DEFAULTS.seed
    precision: Annotated[Precision, named(Precision)] = Precision(DEFAULTS.precision)

    def spec(self, base_lr: float, batch_size: int) -> SolverSpec:
        values = self.model_dump(include=set(SolverFields.model_fields), mode="json")
        return SolverSpec.from_dict(values | {"base_lr": base_lr, "batch_size": batch_size})

    def problems(self) -> dict[str, str]:
        """What fits by itself but not together, by field."""
        found: dict[str, str] = {}
        for size in self.batch_size:
            for rate in self.base_lr:
                spec = self.spec(rate, size)
                for field, message in spec.validate().items():
                    found.setdefault(field, f"{getattr(spec, field)} {message}.")
        return found


class NewModel(SolverFields, TransformationFields, StartFields):
    """A model, or a sweep of them, to be trained. What is left out has the defaults of the form."""

    name: Name
    notes: Notes = ""
    dataset_id: DatasetId
    topology: str = Field("", max_length=255, description="Id of a zoo or custom topology; or send a prototxt")
    prototxt: str = Field("", description="train_val.prototxt; wins over `topology`, which then names its original")
    submission: str | None = Field(None, max_length=64, description="A mark of your own: sent twice makes one sweep")

    @field_validator("prototxt")
    @classmethod
    def _not_endless(cls, value: str) -> str:
        if len(value) > MAX_PROTOTXT:
            raise refusal(f"Expected at most {MAX_PROTOTXT:,} characters, found {len(value):,}.")
        return value.replace("\r\n", "\n").replace("\x00", "")

    @field_validator("base_lr")
    @classmethod
    def _not_too_many(cls, value: list[float], info: ValidationInfo) -> list[float]:
        batches = info.data.get("batch_size") or [1]
        count = len(value) * len(batches)
        if count > MOST_RUNS:
            raise refusal(
                f"{len(value)} learning rates × {len(batches)} batch sizes = {count:,} models; "
                f"expected at most {MOST_RUNS} at once."
            )
        return value


class ModelChanges(BaseModel):
    """What may change once a model is made."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    notes: Notes | None = None

    @model_validator(mode="after")
    def _says_something(self) -> ModelChanges:
        if self.name is None and self.notes is None:
            raise refusal("Expected name or notes, found neither.")
        return self


class Accuracy(BaseModel):
    """Shares between 0 and 1; null until known, or when the dataset has no such split."""

    train: float | None = None
    val: float | None = None
    test: float | None = None


class SnapshotOut(BaseModel):
    id: int
    epoch: float
    iteration: int
    size_bytes: int
    metrics: dict[str, float | None]
    created_at: datetime

    @classmethod
    def of(cls, snapshot: Snapshot) -> SnapshotOut:
        return cls.model_validate(snapshot, from_attributes=True)


class ModelOut(BaseModel):
    id: int
    name: str
    notes: str
    status: str
    is_stopping: bool
    waits_for: str | None = Field(description="Name of the dataset that is still being built")
    error: str | None
    epoch: float = Field(description="How far it has come")
    epochs: int
    iteration: int | None
    max_iter: int | None
    progress_percent: float
    eta_s: float | None
    elapsed_s: float | None
    images_per_s: float | None
    device: str | None
    precision: str | None
    dataset_id: int
    dataset: str
    topology: str
    sweep_id: int | None
    batch_size: int
    base_lr: float
    parameters: int | None
    accuracy: Accuracy
    start_from: str | None = Field(description="model:ID or pretrained:ID; null: new weights")
    started_from: str | None = Field(description="What that was called, with its epoch")
    freeze_loaded: bool = Field(description="Whether only what was new is trained")
    owner: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def fields_of(cls, model: Model) -> dict[str, Any]:
        job, detail, info, start = model.job, model.job.detail, model.run_info, model.start_value
        return {
            "id": model.id,
            "name": model.name,
            "notes": model.notes,
            "status": str(job.status),
            "is_stopping": job.is_stopping,
            "waits_for": model.dataset.name if model.dataset.status.is_active and model.status.is_active else None,
            "error": job.error,
            "epoch": float(detail.get("epoch") or 0),
            "epochs": model.epochs,
            "iteration": detail.get("iteration"),
            "max_iter": info.get("max_iter"),
            "progress_percent": round(job.progress_percent, 2),
            "eta_s": job.eta_s,
            "elapsed_s": job.elapsed_s,
            "images_per_s": detail.get("images_per_s"),
            "device": info.get("device"),
            "precision": info.get("precision"),
            "dataset_id": model.dataset_id,
            "dataset": model.dataset.name,
            "topology": model.topology_name,
            "sweep_id": model.sweep_id,
            "batch_size": model.batch_size,
            "base_lr": model.base_lr,
            "parameters": model.parameters,
            "accuracy": Accuracy(**{split: model.accuracy.get(split) for split in ("train", "val", "test")}),
            "start_from": model.start_from,
            "started_from": start.title if start else None,
            "freeze_loaded": bool(start and start.freeze_loaded),
            "owner": model.user.username if model.user else None,
            "created_at": model.created_at,
            "started_at": job.started_at,
            "finished_at": job.finished_at,
        }

    @classmethod
    def of(cls, model: Model) -> ModelOut:
        return cls(**cls.fields_of(model))


class ModelDetail(ModelOut):
    """One model with everything that was decided for it."""

    snapshots: list[SnapshotOut] = Field(description="The newest first")
    solver: dict[str, Any]
    preprocessing: dict[str, Any]
    augmentation: dict[str, Any] = Field(description="Mirroring is part of `preprocessing`")
    prototxt: str

    @classmethod
    def of_one(cls, model: Model, snapshots: list[Snapshot]) -> ModelDetail:
        return cls(
            **cls.fields_of(model),
            snapshots=[SnapshotOut.of(snapshot) for snapshot in snapshots],
            solver=model.solver,
            preprocessing=model.preprocessing,
            augmentation=model.augmentation_value.to_dict(),
            prototxt=model.prototxt,
        )


class ModelList(BaseModel):
    items: list[ModelOut]
    next: str | None = Field(description="Send it as `after` for the next page; null on the last")


class Launched(BaseModel):
    sweep_id: int
    models: list[ModelOut]


class MetricPoint(BaseModel):
    id: int
    name: str
    iteration: int
    epoch: float
    value: float | None


class MetricPage(BaseModel):
    points: list[MetricPoint]
    next: int = Field(description="Send it as `since` for what comes after")
    attempt: int = Field(description="When it grows, points of later iterations than the last snapshot were rewound")
    status: str
