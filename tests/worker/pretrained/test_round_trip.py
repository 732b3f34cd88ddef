"""Away as a .caffemodel and back: a net that starts from one of ours knows what it knew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.export.caffemodel import caffemodel
from app.export.pieces import PieceReader
from app.export.trained_net import trained_net
from tests.worker.engine.drawn import CLASSES, PLAIN, SOLVER, WITH_BATCH_NORM, Listener, train_spec
from worker.engine.snapshot import WEIGHTS, read_meta
from worker.engine.train import train
from worker.pretrained.sent_weights import open_caffemodel_weights
from worker.pretrained.weights_writer import write_weights


def test_a_fine_tuning_starts_at_the_accuracy_that_its_caffemodel_was_saved_with(tmp_path: Path) -> None:
    solver = replace(SOLVER, epochs=4)
    first = train_spec(tmp_path, topology=WITH_BATCH_NORM, solver=solver)
    train(first, Listener())
    snapshot = first.model_dir / "snapshots" / "epoch-0004"
    known = read_meta(snapshot).metrics
    assert known["val/accuracy"] > 0.5  # it has learnt something; a third would be luck

    trained = trained_net(WITH_BATCH_NORM, PLAIN, CLASSES, snapshot / WEIGHTS, tmp_path / "dataset" / "mean.npy")
    with PieceReader(caffemodel(trained)) as file:
        (tmp_path / "away.caffemodel").write_bytes(file.read())
    names = [name for site in trained.sites for name in site.info.weights]
    with open_caffemodel_weights(tmp_path / "away.caffemodel", names) as sent:
        weights = ((name, sent.pieces(name)) for name in sent.shapes)
        write_weights(tmp_path / "back.safetensors", sent.shapes, weights)

    second = train_spec(tmp_path, topology=WITH_BATCH_NORM, solver=replace(solver, seed=7), model="second")
    listener = Listener(stop_at=1)
    train(replace(second, start_from=tmp_path / "back.safetensors"), listener)
    for name, value in known.items():
        assert listener.values_of(name)[0] == (0, value), name
