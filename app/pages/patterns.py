"""The page that shows every piece of the interface: for whoever builds pages, and for the visual tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.web import render

router = APIRouter(include_in_schema=False)


@router.get("/patterns")
def show_patterns(request: Request) -> HTMLResponse:
    return render(request, "patterns.html", **pattern_context(datetime.now(UTC)))


def pattern_context(now: datetime) -> dict[str, Any]:
    """One job in each state, a form that was refused, and figures to draw."""
    return {"jobs": _jobs(now), "form": _refused_form(), "figures": _figures()}


def _jobs(now: datetime) -> list[SimpleNamespace]:
    began, yesterday = now - timedelta(minutes=1, seconds=12), now - timedelta(days=1)
    reason = "The loss became NaN at iteration 212 (epoch 0.3): lower the base learning rate, now 10, tenfold"
    running = {"epoch": 6.4, "epochs": 15, "images_per_s": 11_640.0}
    return [
        _job(now, "LeNet digits learning_rate:0.01", "queued", detail={"waits_for": "dataset 手書き数字"}),
        _job(now, "LeNet digits", "running", progress_percent=43.2, detail=running, eta_s=94.0, started_at=began),
        _job(now, "AlexNet flowers", "done", progress_percent=100.0, started_at=yesterday, finished_at=now),
        _job(now, "GoogLeNet flowers", "stopped", progress_percent=31.0, started_at=began, finished_at=now),
        _job(now, "LeNet " + "長い名前" * 48, "failed", started_at=began, finished_at=now, error=reason),
    ]


def _job(now: datetime, name: str, status: str, **values: Any) -> SimpleNamespace:
    given = {
        "progress_percent": 0.0,
        "detail": {},
        "eta_s": None,
        "error": None,
        "is_stopping": False,
        "queued_at": now - timedelta(minutes=4),
        "started_at": None,
        "finished_at": None,
        "elapsed_s": 72.0,
    }
    return SimpleNamespace(name=name, status=status, **(given | values))


def _refused_form() -> dict[str, dict[str, str]]:
    typed = {"name": "<script>alert(1)</script>", "width": "-3", "channels": "gray", "resize_mode": "squash"}
    return {"values": typed | {"shuffle": "true"}, "errors": {"width": "Expected 1 to 4096 pixels, found -3"}}


def _figures() -> dict[str, Any]:
    iterations = list(range(0, 9000, 30))
    noise = [((iteration * 7919) % 13) / 13 for iteration in iterations]
    loss = [2.3 * 0.9985**i + 0.04 + 0.02 * extra for i, extra in zip(iterations, noise, strict=True)]
    rate = [0.01 * (1 + 1e-4 * iteration) ** -0.75 for iteration in iterations]
    validations = list(range(600, 9600, 600))
    val = [540 / iteration + 0.05 for iteration in validations]
    epoch = {"title": {"text": "epoch"}}
    return {
        "loss": {
            "data": [
                _trace("train", "train/loss", iterations, loss),
                _trace("val", "val/loss", validations, val, dash="dash"),
            ],
            "layout": {"xaxis": epoch, "yaxis": {"title": {"text": "loss"}, "rangemode": "tozero"}},
        },
        "learning_rate": {
            "data": [_trace("learning rate", "learning_rate", iterations, rate, color="var(--series-3)")],
            "layout": {"showlegend": False, "xaxis": epoch, "yaxis": {"title": {"text": "learning rate"}}},
        },
    }


def _trace(
    name: str, metric: str, iterations: list[int], values: list[float], *, dash: str = "solid", color: str = ""
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "meta": metric,
        "x": [iteration / 600 for iteration in iterations],
        "y": values,
        "customdata": iterations,
        "line": {"color": color or "var(--series-1)", "width": 1.5, "dash": dash},
    }
