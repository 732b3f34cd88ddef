"""solver.prototxt, written and read."""

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from app.solver.spec import SolverSpec, SolverType
from app.solver.text import read_solver, solver_text
from app.topology import caffe_pb2
from app.topology.errors import TopologyError


def parsed(text: str) -> caffe_pb2.SolverParameter:
    return text_format.Parse(text, caffe_pb2.SolverParameter())


def test_the_case_study_gets_the_solver_that_it_had() -> None:
    solver = parsed(solver_text(SolverSpec(), 53_936, 6_740))

    assert (solver.max_iter, solver.snapshot, solver.test_interval) == (12_645, 843, 843)  # as in its download
    assert list(solver.test_iter) == [68]
    assert (solver.net, solver.type, solver.lr_policy) == ("train_val.prototxt", "SGD", "inv")
    assert solver.base_lr == pytest.approx(0.01)
    assert (solver.gamma, solver.power, solver.momentum, solver.weight_decay) == pytest.approx((1e-4, 0.75, 0.9, 5e-4))
    assert solver.solver_mode == caffe_pb2.SolverParameter.CPU


def test_without_validation_there_is_no_test_net() -> None:
    for text in (solver_text(SolverSpec(), 1000, 0), solver_text(SolverSpec(val_interval=0), 1000, 100)):
        assert not parsed(text).test_iter
        assert not parsed(text).HasField("test_interval")


@pytest.mark.parametrize("kind", ["AdaGrad", "RMSProp"])
def test_solvers_that_refuse_a_momentum_in_caffe_get_none(kind: str) -> None:
    solver = parsed(solver_text(SolverSpec(solver_type=kind), 1000))

    assert solver.type == kind
    assert not solver.HasField("momentum")


@pytest.mark.parametrize(
    ("values", "remark", "type", "policy"),
    [
        ({"lr_policy": "cosine"}, "# lr_policy was cosine", "SGD", "poly"),
        ({"lr_policy": "one_cycle"}, "# lr_policy was one_cycle", "SGD", "poly"),
        ({"solver_type": "AdamW"}, "# type was AdamW", "Adam", "inv"),
        ({"warmup_epochs": 2}, "# The learning rate was warmed up for 2 epochs", "SGD", "inv"),
        ({"patience": 4}, "# Training ended after 4 epochs", "SGD", "inv"),
    ],
)
def test_what_caffe_does_not_know_is_replaced_and_said(
    values: dict[str, object], remark: str, type: str, policy: str
) -> None:
    text = solver_text(SolverSpec(**values), 1000)

    assert text.startswith(remark)
    assert (parsed(text).type, parsed(text).lr_policy) == (type, policy)


def test_default_shares_are_written_as_iterations() -> None:
    assert parsed(solver_text(SolverSpec(lr_policy="step", gamma=0.1), 64_000)).stepsize == 4950  # 33 % of 15,000
    assert list(parsed(solver_text(SolverSpec(lr_policy="multistep"), 64_000)).stepvalue) == [7500, 12750]


SPECS = st.builds(
    SolverSpec,
    epochs=st.integers(1, 100),
    batch_accumulation=st.integers(1, 4),
    val_interval=st.sampled_from([1.0, 2.0, 5.0]),
    snapshot_interval=st.sampled_from([1.0, 3.0]),
    base_lr=st.sampled_from([0.01, 1e-5, 0.3, 10.0, 0.0123456]),
    lr_policy=st.sampled_from(["fixed", "step", "multistep", "exp", "inv", "poly", "sigmoid"]),
    gamma=st.sampled_from([1e-4, 0.1, 0.75]),
    power=st.sampled_from([0.75, 1.0, 3.0]),
    stepsize=st.integers(1, 10_000),
    stepvalues=st.sampled_from([(10, 20), (7,)]),
    solver_type=st.sampled_from([kind for kind in SolverType if kind != SolverType.ADAMW]),
    momentum=st.sampled_from([0.9, 0.0, 0.99]),
    weight_decay=st.sampled_from([5e-4, 0.0, 0.1]),
    regularization_type=st.sampled_from(["L1", "L2"]),
    clip_gradients=st.sampled_from([-1.0, 5.0, 0.35]),
    seed=st.integers(0, 2**31 - 1),
)


@settings(max_examples=60, deadline=None)
@given(SPECS)
def test_what_is_written_is_read_back_alike(spec: SolverSpec) -> None:
    pasted = read_solver(solver_text(spec, 6_400, 100), 6_400)

    assert pasted.remarks == ()
    for name in pasted.given:
        assert getattr(pasted.spec, name) == pytest.approx(getattr(spec, name)) or name == "stepsize"
    assert {"epochs", "base_lr", "lr_policy", "solver_type", "weight_decay", "seed", "val_interval"} <= pasted.given


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("solver_type: NESTEROV", "solver_type", "Nesterov"),
        ("solver_type: ADAGRAD", "solver_type", "AdaGrad"),
        ('type: "adam"', "solver_type", "Adam"),
        ("stepvalue: 3 stepvalue: 9", "stepvalues", (3, 9)),
        ("iter_size: 4", "batch_accumulation", 4),
        ("base_lr: 0.01", "base_lr", 0.01),
        ("max_iter: 1000", "epochs", 10),
        ("max_iter: 1001", "epochs", 11),
        ("test_interval: 50", "val_interval", 0.5),
        ("snapshot: 1000 iter_size: 2", "snapshot_interval", 20.0),
        ("random_seed: -1", "seed", 1),
    ],
)
def test_options_of_others_fill_the_form(text: str, field: str, value: object) -> None:
    assert getattr(read_solver(text, 6_400).spec, field) == value


def test_iterations_wait_for_a_dataset() -> None:
    pasted = read_solver("max_iter: 1000 snapshot: 10")

    assert pasted.spec.epochs == 15
    assert pasted.remarks == ("max_iter, snapshot: iterations become epochs once a dataset is chosen",)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("base_lr: 0.1\nlearning_rate: 3", 2, 'unknown field "learning_rate" in SolverParameter'),
        ("base_lr: fast", 1, "couldn't parse float: fast"),
        ("solver_type: LION", 1, "unknown value LION; expected SGD, NESTEROV"),
        ("net {", 1, "expected"),
        ("#" * 200_000, 1, "200,000 characters; at most 100,000"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(TopologyError) as raised:
        read_solver(text)

    assert raised.value.issues[0].line == line
    assert raised.value.issues[0].message.startswith(message) or message in raised.value.issues[0].message


@pytest.mark.parametrize("text", ["base_lr: nan", "base_lr: inf", "max_iter: -5", "iter_size: 0", 'type: "Lion"', ""])
def test_odd_values_are_left_to_validation(text: str) -> None:
    read_solver(text, 1000).spec.validate()
