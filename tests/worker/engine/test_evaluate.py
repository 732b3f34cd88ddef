from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, confusion_matrix

from tests.worker.engine.drawn import CLASSES, NET, PLAIN, Listener, draw_images, train_spec
from tests.worker.engine.oracle import DEVICE
from worker.engine.errors import EngineError
from worker.engine.evaluate import EvaluateSpec, Evaluation, evaluate
from worker.engine.snapshot import read_weights
from worker.engine.train import train


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    listener = Listener()
    spec = train_spec(tmp_path_factory.mktemp("trained"))
    train(spec, listener)
    return listener.snapshots[0].path  # after one epoch: not perfect yet


def spec(snapshot: Path, split: str = "test", **options: object) -> EvaluateSpec:
    dataset = snapshot.parents[2] / "dataset"
    return EvaluateSpec(NET, PLAIN, CLASSES, dataset, split, snapshot, device=str(DEVICE), **options)  # type: ignore[arg-type]


def scores(snapshot: Path, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What plain PyTorch makes of the drawn split."""
    drawn, labels = draw_images(30, seed=seed)
    images = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 256
    weights = read_weights(snapshot)
    hidden = F.max_pool2d(F.relu(F.conv2d(images, weights["conv1.weight"], weights["conv1.bias"])), 2)
    return F.linear(hidden.flatten(1), weights["ip1.weight"], weights["ip1.bias"]), torch.from_numpy(labels)


@pytest.mark.parametrize("batch_size", [7, 30, 1000])
def test_it_agrees_with_scikit_learn_on_what_plain_pytorch_computes(snapshot: Path, batch_size: int) -> None:
    found = evaluate(spec(snapshot, batch_size=batch_size))
    expected, labels = scores(snapshot, seed=2)
    best = expected.argmax(1).numpy()
    assert isinstance(found, Evaluation)
    assert found.count == 30
    assert found.accuracy == pytest.approx(accuracy_score(labels, best))
    assert found.confusion is not None
    assert np.array_equal(found.confusion, confusion_matrix(labels, best, labels=[0, 1, 2]))
    assert found.loss == pytest.approx(float(F.cross_entropy(expected, labels)), rel=1e-4)
    assert found.outputs["accuracy"] == pytest.approx(found.accuracy)
    assert found.top_5 == 1  # of three classes
    recalls = [float((best[labels == number] == number).mean()) for number in range(3)]
    assert found.per_class == pytest.approx(recalls)


def test_what_was_reported_in_training_is_found_again(snapshot: Path) -> None:
    from worker.engine.snapshot import read_meta

    found = evaluate(spec(snapshot, "val"))
    assert found is not None
    reported = read_meta(snapshot).metrics
    assert found.loss == pytest.approx(reported["val/loss"], rel=1e-5)
    assert found.accuracy == pytest.approx(reported["val/accuracy"])


def test_it_can_be_stopped(snapshot: Path) -> None:
    assert evaluate(spec(snapshot), should_stop=lambda: True) is None


def test_a_split_that_is_not_there_is_named(snapshot: Path) -> None:
    with pytest.raises(EngineError, match="holdout"):
        evaluate(spec(snapshot, "holdout"))
