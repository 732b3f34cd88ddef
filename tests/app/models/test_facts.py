"""What a model's page says in words, and the tail of its log."""

from __future__ import annotations

from pathlib import Path

from app.models.facts import TAIL_BYTES, input_facts, log_tail, solver_facts
from app.preprocessing import Channels, MeanMode, Preprocessing
from app.solver.spec import LrPolicy, SolverSpec, SolverType


def test_only_parameters_with_an_effect_are_shown() -> None:
    facts = dict(solver_facts(SolverSpec(solver_type="RMSProp", lr_policy="step", gamma=0.1, stepsize=500)))
    assert facts["Solver"] == "RMSProp, rms decay 0.99, delta 1e-08"
    assert facts["Learning rate policy"] == "step, gamma 0.1, stepsize 500"
    assert "Longest gradient" not in facts
    assert "Batch accumulation" not in facts


def test_rare_parameters_are_shown_when_they_were_chosen() -> None:
    facts = dict(
        solver_facts(SolverSpec(clip_gradients=5.0, batch_accumulation=4, snapshot_interval=0, warmup_epochs=2))
    )
    assert facts["Longest gradient"] == "5"
    assert facts["Batch accumulation"] == "4 batches a step"
    assert facts["Snapshot"] == "at the end"
    assert facts["Warm-up"] == "2 epochs"


def test_every_solver_and_policy_has_its_facts() -> None:
    for solver in SolverType:
        for policy in LrPolicy:
            facts = dict(solver_facts(SolverSpec(solver_type=solver, lr_policy=policy)))
            assert facts["Solver"].startswith(solver)
            assert facts["Learning rate policy"].startswith(policy)
            assert "None" not in facts["Learning rate policy"]


def test_the_input_is_told_as_it_is_computed() -> None:
    means = (104.0, 117.0, 123.0)
    value = Preprocessing(Channels.COLOR, 256, 256, mean=MeanMode.PIXEL, mean_values=means, crop_size=227, mirror=True)
    facts = dict(input_facts(value))
    assert facts["Mean subtracted"] == "mean pixel (104.0, 117.0, 123.0)"
    assert facts["Crop"] == "227 × 227"
    assert facts["Mirror"] == "half of the training images"


def test_the_tail_is_the_last_whole_lines_and_the_place_after_them(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("one\ntwo 手\nthree\nhalf", encoding="utf-8")
    assert log_tail(log, 2) == (["two 手", "three"], len("one\ntwo 手\nthree\n".encode()))


def test_the_tail_of_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    lines, place = log_tail(log, 200)
    assert (len(lines), lines[0], lines[-1]) == (200, "line 99800", "line 99999")
    assert place == log.stat().st_size > TAIL_BYTES


def test_a_log_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert log_tail(tmp_path / "none", 10) == ([], 0)
