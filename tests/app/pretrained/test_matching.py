"""Weights under other names are matched by order, once somebody has seen the pairs; deviations that do not fit."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import save as safetensors_bytes

from app.db import Database
from app.settings import Settings
from app.storage import Storage
from tests.app.pretrained.conftest import WEIGHTS
from tests.app.pretrained.test_pretrained import refused, sent_page
from tests.app.pretrained_nets import DEPLOY, LABELS, arrays, do_import, form, named
from tests.conftest import Browser


def renamed(layers: dict[str, str]) -> bytes:
    """The weights under other names."""
    sent = named(arrays())
    return safetensors_bytes({f"{new}.{blob}": sent[f"{old}.{blob}"] for old, new in layers.items()
                              for blob in ("weight", "bias")})  # fmt: skip


NO_FILE = {"weights": ("", b"")}  # as a browser sends a field without a choice
OTHERS = {"conv1": "features.0", "ip1": "head"}


def test_matching_by_order_is_shown_before_anything_is_imported(
    client: Browser, database: Database, settings: Settings, storage: Storage
) -> None:
    first = sent_page(client, renamed(OTHERS), match="order")
    assert first.status_code == 200
    words = " ".join(re.sub(r"<[^>]+>", " ", html.unescape(first.text)).split())
    assert "Matched by order: 4 weights." in words
    assert "conv1.weight features.0.weight 6 × 1 × 3 × 3" in words
    assert "ip1.bias head.bias 3" in words
    assert client.get("/api/v1/pretrained").json()["items"] == []
    fields = {name: found.group(1) for name in ("seen", "kept", "kept_name")
              if (found := re.search(f'name="{name}" value="([^"]*)"', first.text))}  # fmt: skip
    given = {"csrf_token": client.csrf, "name": "Small", "prototxt": DEPLOY, "labels": LABELS, "match": "order"}
    again = client.post("/pretrained", data=given | fields | {"seen": "another"}, files=NO_FILE)
    assert "Matched by order" in again.text
    fields["kept"] = re.search(r'name="kept" value="([^"]*)"', again.text).group(1)  # type: ignore[union-attr]
    answer = client.post("/pretrained", data=given | fields, files=NO_FILE)
    assert answer.status_code == 303, answer.text
    net = do_import(database, settings, storage, int(answer.headers["location"].rpartition("/")[2]))
    assert (net.job.error, net.is_complete, net.remarks) == (None, True, [])
    assert "from features.0<" in client.get(f"/pretrained/{net.id}").text


def test_what_cannot_be_matched_by_order_is_refused(client: Browser, api: TestClient) -> None:
    swapped = renamed({"conv1": "b", "ip1": "a.0"})
    other = "number 1 of the prototxt is conv1 (weight 6×1×3×3), of the file head (weight 3×150)"
    assert other in refused(api, renamed({"ip1": "head"}), match="order")["match"]
    assert "the file 1." in refused(api, renamed({"conv1": "a"}), match="order")["match"]
    assert "Only a .safetensors is matched by order" in refused(api, WEIGHTS, match="order")["match"]
    assert "Expected one of name, order" in refused(api, swapped, match="guess")["match"]
    page = sent_page(client, renamed({"ip1": "head"}), match="order")
    assert page.status_code == 422
    assert other in html.unescape(page.text)
    assert api.post("/api/v1/pretrained", **form(swapped, match="order")).status_code == 201  # images before the rest


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"std_values": "50, 60"}, "std_values", "Expected 1 numbers for gray images, found 2."),
        ({"std_values": "50", "scale": "1"}, "scale", "Expected a scale or standard deviations, found both."),
        ({"std_values": "0"}, "std_values", "0.001"),
    ],
)
def test_deviations_that_do_not_fit_are_refused(
    api: TestClient, fields: dict[str, Any], field: str, words: str
) -> None:
    assert words in refused(api, WEIGHTS, **fields)[field]
