"""Generated and mutated texts sent to the check, as scripts and the editor do: no 500, never slow, always a line."""

from __future__ import annotations

import random
import re

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.topology.zoo import zoo
from tests.conftest import Browser
from tests.topology.test_fuzz import mutated, random_layer, random_net, soon

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
VIEWS = ("", "diagram", "changes")


def thrown(draw: random.Random) -> str:
    """A text that is nearly right, or right, or no net at all."""
    kind = draw.randrange(3)
    if kind == 0:
        return random_net(draw)
    if kind == 1:
        return "\n".join(random_layer(draw, index) for index in range(draw.randint(1, 12)))
    return mutated(draw.choice([entry.prototxt for entry in zoo() if len(entry.prototxt) < 20_000]), draw)


@FUZZ
@given(st.one_of(st.integers(0, 2**32).map(lambda seed: thrown(random.Random(seed))), st.text(max_size=200)))
@example('name: "' + "\\" * 900_000)
@example("layer{" * 20_000)
@example("\ufeff\u2028layer\x85")
def test_the_check_of_the_api_answers_every_text(api: TestClient, text: str) -> None:
    shape = {"channels": 3, "height": 33, "width": 32, "classes": 10, "batch_size": 64}
    answer = soon(api.post, "/api/v1/topologies/check", json={"prototxt": text} | shape)
    assert answer.status_code in (200, 422), answer.text[:500]
    if answer.status_code == 422:
        assert answer.json()["error"]["fields"].keys() == {"prototxt"}
        return
    report = answer.json()
    for issue in (*report["errors"], *report["warnings"]):
        assert issue["line"] >= 1
        assert issue["column"] >= 1
        assert issue["message"]
    assert report["errors"] or report["layers"]


@FUZZ
@given(st.integers(0, 2**32), st.sampled_from(VIEWS), st.sampled_from(["3", "0", "", "x", "28", "99999999999"]))
def test_the_editor_gets_a_report_of_every_text(client: Browser, seed: int, view: str, width: str) -> None:
    typed = {"prototxt": thrown(random.Random(seed)), "original": "lenet", "channels": "3", "width": width,
             "height": "32", "classes": "10", "batch_size": "64", "view": view}  # fmt: skip
    answer = soon(client.post, "/topologies/_report", data=typed | {"csrf_token": client.csrf})
    assert answer.status_code == 200, answer.text[:500]
    for attributes in re.findall(r'<li data-kind="(?:error|warning)"([^>]*)>', answer.text):
        assert re.search(r'data-line="[1-9]\d*" data-column="[1-9]\d*"', attributes)


@pytest.mark.parametrize("value", ["null", "[]", "{}", '"x"', "-1", "0", "1e400", "1" + "0" * 30, "true", "2.5"])
@pytest.mark.parametrize("field", ["channels", "height", "width", "classes", "batch_size"])
def test_odd_numbers_are_refused_at_their_field(api: TestClient, field: str, value: str) -> None:
    body = f'{{"prototxt": "layer {{ }}", "{field}": {value}}}'
    answer = api.post("/api/v1/topologies/check", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert field in answer.json()["error"]["fields"]
