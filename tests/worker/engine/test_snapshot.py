from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch

from tests.disk import small_disk
from worker.engine.errors import EngineError
from worker.engine.snapshot import (
    META,
    SOLVER_STATE,
    WEIGHTS,
    Meta,
    folder_name,
    forget_older_solver_states,
    read_meta,
    read_solver_state,
    read_weights,
    write_snapshot,
)

DESCRIPTION = Meta(12, 1.5, 8, 1, 1, "SGD", 8, {"val/loss": 0.5})
WEIGHT_VALUES = {
    "conv/1.weight": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
    "畳み込み.bias": torch.ones(3),
}
STATE = {"steps": 3, "history": {"conv/1.weight": [torch.ones(2)]}}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    size = write_snapshot(tmp_path / "snapshots" / "epoch-0001", WEIGHT_VALUES, STATE, DESCRIPTION)
    folder = tmp_path / "snapshots" / "epoch-0001"
    assert sorted(path.name for path in folder.iterdir()) == [META, SOLVER_STATE, WEIGHTS]
    assert size == sum(path.stat().st_size for path in folder.iterdir())
    weights = read_weights(folder)
    assert weights.keys() == WEIGHT_VALUES.keys()
    assert all(torch.equal(weights[name], value) for name, value in WEIGHT_VALUES.items())
    assert weights["conv/1.weight"].is_contiguous()
    assert read_meta(folder) == DESCRIPTION
    assert read_solver_state(folder)["history"]["conv/1.weight"][0].tolist() == [1, 1]
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".")]


def test_shared_weights_are_stored_under_each_name(tmp_path: Path) -> None:
    shared = torch.ones(4)
    write_snapshot(tmp_path / "s", {"a.weight": shared, "b.weight": shared}, None, DESCRIPTION)
    assert set(read_weights(tmp_path / "s")) == {"a.weight", "b.weight"}


def test_a_snapshot_of_the_same_name_is_replaced(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "s", {"a": torch.zeros(1)}, STATE, DESCRIPTION)
    write_snapshot(tmp_path / "s", {"a": torch.ones(1)}, None, DESCRIPTION)
    assert read_weights(tmp_path / "s")["a"].tolist() == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert not (tmp_path / "s" / SOLVER_STATE).exists()


@pytest.mark.parametrize("weights_kb", [100, 3000])
def test_a_full_disk_is_told_by_its_number_and_the_old_snapshot_stays(weights_kb: int, tmp_path: Path) -> None:
    """Whether the weights or the solver state fill it: 100 kB of weights with 3 MB of state, or the reverse."""
    state = {"history": torch.zeros(3000 * 256)}
    with small_disk(tmp_path / "disk", 2000) as disk:
        write_snapshot(disk / "s", {"a": torch.ones(1)}, STATE, DESCRIPTION)
        with pytest.raises(OSError, match="No space left on device") as caught:
            write_snapshot(disk / "s", {"a": torch.zeros(weights_kb * 256)}, state, DESCRIPTION)
        assert caught.value.errno == errno.ENOSPC
        assert [path.name for path in disk.iterdir()] == ["s"]
        assert read_weights(disk / "s")["a"].tolist() == [1]


def test_a_write_that_fails_leaves_the_old_snapshot_and_no_rest(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "s", {"a": torch.zeros(1)}, None, DESCRIPTION)
    with pytest.raises(Exception):  # noqa: B017, PT011  a function cannot be pickled
        write_snapshot(tmp_path / "s", {"a": torch.ones(1)}, {"no": lambda: None}, DESCRIPTION)
    assert read_weights(tmp_path / "s")["a"].tolist() == [0]
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_only_the_newest_keeps_its_solver_state(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_snapshot(tmp_path / f"epoch-000{number}", {"a": torch.zeros(1)}, STATE, DESCRIPTION)
    forget_older_solver_states(tmp_path / "epoch-0003")
    assert [path.parent.name for path in tmp_path.glob(f"*/{SOLVER_STATE}")] == ["epoch-0003"]
    assert len(list(tmp_path.glob(f"*/{WEIGHTS}"))) == 3


def test_folders_tell_iterations_apart_and_sort_by_epoch() -> None:
    assert folder_name(0, 8) == "epoch-0000"
    assert folder_name(24, 8) == "epoch-0003"
    assert folder_name(27, 8) == "epoch-0003.38"
    assert folder_name(4, 8) == "epoch-0000.5"
    names = [folder_name(iteration, 10_000) for iteration in range(20_000)]
    assert len(set(names)) == 20_000
    assert sorted(names, key=lambda name: float(name.removeprefix("epoch-"))) == names


def test_code_in_a_solver_state_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"history": Evil()}, tmp_path / SOLVER_STATE)
    with pytest.raises(EngineError, match="cannot be read, so this run cannot resume"):
        read_solver_state(tmp_path)
    assert not (tmp_path / "owned").exists()


def test_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(b"no tensors")
    (tmp_path / META).write_text("{}", encoding="utf-8")
    with pytest.raises(EngineError, match=WEIGHTS):
        read_weights(tmp_path)
    with pytest.raises(EngineError, match=META):
        read_meta(tmp_path)
    with pytest.raises(EngineError, match=SOLVER_STATE):
        read_solver_state(tmp_path)


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / META).write_text(json.dumps({"format": 99}), encoding="utf-8")
    with pytest.raises(EngineError, match="expected a snapshot of format 1, found 99"):
        read_meta(tmp_path)
