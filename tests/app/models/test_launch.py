"""From a form to rows: what is made, once; and what is refused before anything is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select

from app.datasets.made_of import MadeOf, Place, Text
from app.db import Database, Dataset, Job, JobKind, Model, Status, Sweep, User
from app.models.launch import DatasetFacts, InvalidModel, launch
from app.preprocessing import MeanMode
from app.queue import Queue
from app.schemas.models import NewModel
from app.storage import Storage
from app.topology.check import check
from app.topology.zoo import zoo_entry
from tests import factories

LENET = zoo_entry("lenet").prototxt  # type: ignore[union-attr]
BIG = {"train": {"count": 7000, "per_class": [3500, 3500]}, "val": {"count": 1000, "per_class": [500, 500]}}
RESULT = {"classes": ["cat", "dog"], "splits": BIG, "skipped_count": 0, "content_hash": "a" * 64, "mean": [33.0]}

Launch = Callable[..., list[Model]]


@pytest.fixture
def queue(app: FastAPI) -> Queue:
    queue: Queue = app.state.queue
    return queue


@pytest.fixture
def user(database: Database) -> User:
    return factories.user(database)


@pytest.fixture
def launched(database: Database, storage: Storage, queue: Queue, user: User) -> Launch:
    """Launches a form on a built dataset; the models that it made."""

    def launch_form(**values: Any) -> list[Model]:
        if "dataset_id" not in values:
            values["dataset_id"] = factories.dataset(database, result=RESULT).id
        form = NewModel.model_validate({"name": "LeNet", "topology": "lenet"} | values)
        sweep_id = launch(database, storage, queue, user, form)
        with database.read() as session:
            return list(session.scalars(select(Model).where(Model.sweep_id == sweep_id).order_by(Model.id)))

    return launch_form


def refused(launched: Launch, **values: Any) -> dict[str, str]:
    with pytest.raises(InvalidModel) as caught:
        launched(**values)
    return caught.value.fields


def count(database: Database, record: type) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(record)) or 0


def test_one_rate_and_one_batch_size_make_one_model_with_the_defaults_of_the_case_study(launched: Launch) -> None:
    (model,) = launched()
    spec = model.solver_spec
    assert (model.name, model.job.title, model.job.path) == ("LeNet", "LeNet", f"/models/{model.id}")
    assert (model.job.kind, model.status) == (JobKind.TRAIN, Status.QUEUED)
    assert (spec.epochs, spec.batch_size, spec.val_batch_size, spec.test_batch_size) == (15, 64, 100, 100)
    assert (spec.solver_type, spec.momentum, spec.base_lr, spec.weight_decay) == ("SGD", 0.9, 0.01, 0.0005)
    assert (spec.lr_policy, spec.gamma, spec.power, spec.regularization_type) == ("inv", 0.0001, 0.75, "L2")
    assert model.preprocessing_value.scale == 1 / 256
    assert model.parameters == 427_072  # LeNet for two classes: 431,080 less 8 × 501


def test_a_sweep_makes_a_model_for_every_pair_named_as_in_digits(launched: Launch) -> None:
    models = launched(base_lr="0.1, 0.01", batch_size="[64 128]")
    assert [(model.name, model.base_lr, model.batch_size) for model in models] == [
        ("LeNet learning_rate:0.1 batch_size:64", 0.1, 64),
        ("LeNet learning_rate:0.01 batch_size:64", 0.01, 64),
        ("LeNet learning_rate:0.1 batch_size:128", 0.1, 128),
        ("LeNet learning_rate:0.01 batch_size:128", 0.01, 128),
    ]
    assert [(model.solver_spec.base_lr, model.solver_spec.batch_size) for model in models] == [
        (0.1, 64), (0.01, 64), (0.1, 128), (0.01, 128),
    ]  # fmt: skip


def test_the_prototxt_is_frozen_and_fitted_to_the_classes(launched: Launch) -> None:
    (model,) = launched()
    assert model.prototxt != LENET
    report = check(model.prototxt, 1, 28, 28, classes=2)
    assert [layer.shapes for layer in report.layers if layer.name == "ip2"] == [((1, 2),)]


def test_an_edited_prototxt_names_its_original(launched: Launch) -> None:
    (model,) = launched(prototxt=LENET.replace("num_output: 20", "num_output: 24"))
    assert model.topology_name == "lenet (edited)"
    assert "num_output: 24" in model.prototxt


def test_a_custom_topology_goes_by_its_name(launched: Launch, database: Database) -> None:
    topology = factories.topology(database, name="網 LeNet", prototxt=LENET)
    (model,) = launched(topology=str(topology.id))
    assert model.topology_name == "網 LeNet"


def test_the_mean_pixel_is_the_datasets(launched: Launch) -> None:
    (model,) = launched(mean="pixel")
    assert (model.preprocessing_value.mean, model.preprocessing_value.mean_values) == (MeanMode.PIXEL, (33.0,))


def test_a_model_on_a_dataset_that_is_being_built_waits_for_it(launched: Launch, database: Database) -> None:
    upload = factories.upload(database, classes=[{"name": "cat", "count": 900}, {"name": "dog", "count": 900}])
    dataset = factories.dataset(database, status=Status.RUNNING, upload_id=upload.id)
    (model,) = launched(dataset_id=dataset.id)
    assert model.job.waits_for_id == dataset.job_id
    assert model.prototxt == LENET  # fitted when the classes are known


def test_a_model_on_a_built_dataset_waits_for_nothing(launched: Launch) -> None:
    (model,) = launched()
    assert model.job.waits_for_id is None


@pytest.mark.parametrize(("status", "word"), [(Status.FAILED, "failed"), (Status.STOPPED, "stopped")])
def test_a_dataset_that_was_not_built_is_refused(
    launched: Launch, database: Database, status: Status, word: str
) -> None:
    dataset = factories.dataset(database, status=status)
    assert word in refused(launched, dataset_id=dataset.id)["dataset_id"]


def test_a_dataset_that_does_not_exist_is_refused(launched: Launch, database: Database) -> None:
    assert "does not exist" in refused(launched, dataset_id=999)["dataset_id"]
    assert count(database, Job) == 0


@pytest.mark.parametrize(
    ("field", "values", "words"),
    [
        ("topology", {"topology": "lenet-9000"}, ("lenet-9000",)),
        ("topology", {"topology": ""}, ("Choose a topology",)),
        ("prototxt", {"prototxt": 'layer { name: "a" type: }'}, ("Line 1, column",)),
        ("prototxt", {"prototxt": LENET.replace('type: "Pooling"', 'type: "Poling"', 1)}, ("Line", "Poling")),
        ("prototxt", {"prototxt": LENET.replace('bottom: "pool1"', 'bottom: "pool9"')}, ("Line", "pool9")),
        ("prototxt", {"prototxt": LENET.replace("kernel_size: 5", "kernel_size: 55", 1)}, ("Line", "55")),
        ("topology", {"topology": "alexnet"}, ("pool2: kernel_size 3 exceeds its input 2×2",)),
        ("crop_size", {"crop_size": 227}, ("28 × 28", "227")),
        ("batch_size", {"batch_size": 7001}, ("7,000", "7,001")),
        ("batch_size", {"batch_size": [64, 9000]}, ("7,000", "9,000")),
        ("batch_accumulation", {"batch_size": 4000, "batch_accumulation": 2}, ("8,000", "7,000")),
        ("gamma", {"lr_policy": "step", "gamma": 3}, ("3", "lr_policy step")),
    ],
)
def test_what_does_not_fit_is_refused_at_its_field_and_nothing_is_made(
    launched: Launch, database: Database, field: str, values: dict[str, Any], words: tuple[str, ...]
) -> None:
    message = refused(launched, **values)[field]
    assert all(word in message for word in words), message
    assert (count(database, Model), count(database, Sweep)) == (0, 0)


def test_a_batch_larger_than_a_split_that_is_still_to_be_made_is_refused(launched: Launch, database: Database) -> None:
    upload = factories.upload(database, classes=[{"name": "cat", "count": 10}, {"name": "dog", "count": 10}])
    dataset = factories.dataset(database, status=Status.QUEUED, upload_id=upload.id)
    assert refused(launched, dataset_id=dataset.id)["batch_size"].startswith("Expected at most 14,")


def test_two_faults_are_told_at_once(launched: Launch) -> None:
    assert set(refused(launched, crop_size=99, batch_size=9000)) == {"crop_size", "batch_size"}


def test_the_same_form_sent_twice_makes_one_sweep(launched: Launch, database: Database) -> None:
    dataset_id = factories.dataset(database, result=RESULT).id
    first = launched(dataset_id=dataset_id, submission="once", base_lr="0.1, 0.01")
    again = launched(dataset_id=dataset_id, submission="once", base_lr="0.1, 0.01")
    assert [model.id for model in first] == [model.id for model in again]
    assert (count(database, Sweep), count(database, Model)) == (1, 2)


def test_the_same_form_sent_by_many_at_once_makes_one_sweep(
    database: Database, storage: Storage, queue: Queue, user: User
) -> None:
    dataset_id = factories.dataset(database, result=RESULT).id
    form = NewModel.model_validate({"name": "LeNet", "topology": "lenet", "dataset_id": dataset_id, "submission": "x"})
    found: list[int] = []
    send = lambda: found.append(launch(database, storage, queue, user, form))  # noqa: E731
    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert count(database, Model) == 1


def test_forms_without_a_mark_are_forms_of_their_own(launched: Launch, database: Database) -> None:
    launched()
    launched()
    assert count(database, Sweep) == 2


def test_every_model_is_announced_to_the_workers(launched: Launch, database: Database, queue: Queue) -> None:
    models = launched(base_lr="0.1, 0.01")
    with database.read() as session:
        assert all(session.get_one(Job, model.job_id).sent_at is not None for model in models)


def test_a_name_of_two_hundred_characters_survives_a_sweep(launched: Launch) -> None:
    name = "手" * 200
    models = launched(name=name, base_lr="0.1, 0.01")
    assert all(model.name.startswith(name) for model in models)
    assert models[0].name != models[1].name


def test_googlenet_fits_a_cropped_dataset(launched: Launch, database: Database) -> None:
    dataset = factories.dataset(database, channels="color", width=256, height=256, result=RESULT)
    (model,) = launched(dataset_id=dataset.id, topology="googlenet", crop_size=224, mirror=True)
    assert model.preprocessing_value.input_shape == (3, 224, 224)
    assert replace(model.preprocessing_value, crop_size=None).input_shape == (3, 256, 256)


def test_a_dataset_that_is_not_built_says_what_it_will_be(database: Database) -> None:
    upload = factories.upload(database, classes=[{"name": "a", "count": 10}, {"name": "b", "count": 20}])
    plain = factories.dataset(database, status=Status.QUEUED, upload_id=upload.id)
    options = {"train_percent": 100, "val_percent": 0, "test_percent": 0}
    known = MadeOf(Place(upload.id), lists={"train": Text("a.txt")}, expected={"classes": 5, "train_count": 40})
    listed = factories.dataset(database, status=Status.QUEUED, options=options | {"source": known.to_dict()})
    unknown = MadeOf(Place(upload.id), databases={"train": "."})
    lmdb = factories.dataset(database, status=Status.QUEUED, options=options | {"source": unknown.to_dict()})
    with database.read() as session:
        facts = [DatasetFacts.of(session.get_one(Dataset, dataset.id)) for dataset in (plain, listed, lmdb)]
    assert [(one.classes, one.train_count, one.is_built) for one in facts] == [
        (2, 21, False),
        (5, 40, False),
        (2, 0, False),
    ]
