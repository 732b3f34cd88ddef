"""The list, a topology's page and the editor, as a browser without JavaScript meets them."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.db import Database, Topology
from app.topology.zoo import zoo, zoo_entry
from tests import factories
from tests.conftest import Browser, sign_in

LENET = zoo_entry("lenet").prototxt  # type: ignore[union-attr]
FORM = {
    "name": "LeNet wide",
    "original": "lenet",
    "prototxt": LENET,
    "channels": "1",
    "width": "28",
    "height": "28",
    "classes": "10",
    "batch_size": "1",
}


def errors_in(page: str) -> dict[str, str]:
    found = re.findall(r'<p class="error" id="(\w+)-error">([^<]+)</p>', page)
    return {name: html.unescape(message) for name, message in found}


def issues_in(page: str) -> list[tuple[str, str, str]]:
    """(kind, line, message) of everything that a check found."""
    found = re.findall(r'<li data-kind="(\w+)" data-line="(\d+)".*?<span>(.*?)</span>', page)
    return [(kind, line, html.unescape(message)) for kind, line, message in found]


def text_in(page: str) -> str:
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
    return html.unescape(found[1]) if found else ""


def topologies_in(database: Database) -> list[Topology]:
    with database.read() as session:
        return list(session.scalars(select(Topology).order_by(Topology.id)))


def sent(client: Browser, **changes: str) -> Any:
    return client.send_form("/topologies", **(FORM | changes))


def test_the_list_shows_the_zoo_and_custom_topologies(client: Browser, database: Database) -> None:
    assert "No custom topologies yet" in client.get("/topologies").text
    mine = factories.topology(database, name="私の網", original="LeNet", image_size="28 × 28 (gray)")
    page = client.get("/topologies").text
    for entry in zoo():
        assert f'href="/topologies/{entry.id}"' in page
    assert f'href="/topologies/{mine.id}"' in page
    assert "私の網" in page


def test_the_list_filters_by_name(client: Browser, database: Database) -> None:
    factories.topology(database, name="wide")
    page = client.get("/topologies?q=googl").text
    assert 'href="/topologies/googlenet"' in page
    assert 'href="/topologies/lenet"' not in page
    assert "No custom topology has “googl”" in page


@pytest.mark.parametrize("entry", zoo(), ids=lambda entry: entry.id)
def test_every_topology_of_the_zoo_fits_what_it_was_made_for(client: Browser, entry: Any) -> None:
    page = client.get(f"/topologies/{entry.id}?classes={entry.published_classes}").text
    assert "No errors" in page
    assert f"{entry.published_parameters:,}" in page
    assert not [issue for issue in issues_in(page) if issue[0] == "error"]


def test_a_topology_shows_its_layers_for_the_input_that_is_asked_for(client: Browser) -> None:
    page = client.get("/topologies/lenet?channels=3&width=32&height=32&classes=7&batch_size=16").text
    assert "16 × 20 × 28 × 28" in page
    assert "16 × 7" in page


@pytest.mark.parametrize("query", ["width=0", "channels=2", "classes=x", "height=" + "9" * 50, "batch_size=-1"])
def test_an_input_that_cannot_be_is_said_on_the_page(client: Browser, query: str) -> None:
    page = client.get(f"/topologies/lenet?{query}")
    assert page.status_code == 200
    assert "found" in page.text.split('id="layers"')[1]


def test_an_image_that_is_too_small_is_told_with_a_size_that_fits(client: Browser) -> None:
    issues = issues_in(client.get("/topologies/lenet?width=8&height=8").text)
    assert any(kind == "error" and "exceeds" in message for kind, _, message in issues)
    assert any(kind == "warning" and "fit this net" in message for kind, _, message in issues)


def test_the_prototxt_can_be_downloaded_as_it_is(client: Browser) -> None:
    answer = client.get("/topologies/lenet/train_val.prototxt")
    assert answer.text == LENET
    assert "attachment" in answer.headers["content-disposition"]


@pytest.mark.parametrize("key", ["nope", "999", "9" * 40, "a%2Fb", "%E7%B6%B2"])
def test_a_topology_that_there_is_not_is_not_found(client: Browser, key: str) -> None:
    assert client.get(f"/topologies/{key}").status_code == 404


def test_a_custom_topology_has_one_address(client: Browser, database: Database) -> None:
    mine = factories.topology(database, name="mine")
    assert client.get(f"/topologies/{mine.id}").status_code == 200
    assert client.get("/topologies/mine").status_code == 404


def test_the_editor_opens_with_the_text_of_the_original(client: Browser) -> None:
    page = client.get("/topologies/new?original=lenet").text
    assert text_in(page) == LENET
    assert 'value="28"' in page
    assert client.get("/topologies/new?original=nope").status_code == 404
    assert client.get("/topologies/new").status_code == 200


def test_save_as_makes_a_custom_topology(client: Browser, database: Database) -> None:
    text = LENET.replace("num_output: 20", "num_output: 30")
    answer = sent(client, prototxt=text.replace("\n", "\r\n"))
    (saved,) = topologies_in(database)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/topologies/{saved.id}")
    assert (saved.name, saved.original, saved.image_size) == ("LeNet wide", "LeNet", "28 × 28 (gray)")
    assert saved.prototxt == text
    assert 'Edited from <a href="/topologies/lenet">LeNet</a>' in client.get(f"/topologies/{saved.id}").text


def test_a_custom_topology_can_be_edited_in_turn(client: Browser, database: Database) -> None:
    sent(client)
    first = topologies_in(database)[0]
    sent(client, original=str(first.id), name="second")
    assert topologies_in(database)[1].original == "LeNet wide"


def test_a_taken_name_comes_back_with_its_message_and_the_text(client: Browser, database: Database) -> None:
    sent(client)
    answer = sent(client, prototxt=LENET + "# more\n")
    assert answer.status_code == 409
    assert "already a topology “LeNet wide”" in errors_in(answer.text)["name"]
    assert text_in(answer.text) == LENET + "# more\n"
    assert len(topologies_in(database)) == 1


@pytest.mark.parametrize(("changes", "field", "message"), [
    ({"name": ""}, "name", "found nothing"),
    ({"name": "名" * 201}, "name", "at most 200 characters"),
    ({"name": "GoogLeNet"}, "name", "of the zoo"),
    ({"prototxt": ""}, "prototxt", "found nothing"),
    ({"prototxt": "layer {\n  name: \n}"}, "prototxt", "Line "),
    ({"prototxt": LENET.replace('"Pooling"', '"Poling"')}, "prototxt", 'is "Pooling" meant?'),
    ({"width": "0"}, "width", "found “0”"),
    ({"classes": "1"}, "classes", "from 2"),
])  # fmt: skip
def test_a_bad_field_comes_back_with_its_message(
    client: Browser, database: Database, changes: dict[str, str], field: str, message: str
) -> None:
    answer = sent(client, **changes)
    assert answer.status_code in (409, 422)
    assert message in errors_in(answer.text)[field]
    assert topologies_in(database) == []


def test_a_name_of_200_japanese_characters_is_fine(client: Browser, database: Database) -> None:
    assert sent(client, name="網" * 200).status_code == 303
    assert client.get("/topologies").status_code == 200


def test_check_works_without_javascript_and_saves_nothing(client: Browser, database: Database) -> None:
    answer = sent(client, check="1", prototxt=LENET.replace('"Pooling"', '"Poling"', 1))
    assert answer.status_code == 200
    line = 1 + LENET[: LENET.index('name: "pool1"')].count("\n")
    assert ("error", str(line - 1), 'pool1: unknown layer type "Poling"; is "Pooling" meant?') in issues_in(answer.text)
    assert topologies_in(database) == []


def test_the_live_check_answers_with_the_report_alone(client: Browser) -> None:
    answer = client.send_form("/topologies/_report", **FORM)
    assert answer.status_code == 200
    assert "431,080" in answer.text
    assert "<html" not in answer.text
    assert client.post("/topologies/_report", data=FORM).status_code == 403  # without the token


def test_the_live_check_takes_anything(client: Browser) -> None:
    for text in ("", "{", "\x00", "x" * 1_000_001, "網"):
        assert client.send_form("/topologies/_report", prototxt=text).status_code == 200


def test_only_its_owner_or_an_administrator_deletes_a_topology(
    app: FastAPI, client: Browser, database: Database
) -> None:
    owner, other = factories.user(database), factories.user(database)
    mine = factories.topology(database, user_id=owner.id)
    with Browser(app, base_url="http://localhost", follow_redirects=False) as browser:
        sign_in(browser, database, other)
        assert "Delete" not in browser.get(f"/topologies/{mine.id}").text.split('id="main"')[1]
        assert browser.send_form(f"/topologies/{mine.id}/delete").status_code == 403
    assert client.send_form(f"/topologies/{mine.id}/delete").status_code == 303
    assert topologies_in(database) == []


def test_names_are_shown_as_text_never_as_html(client: Browser, database: Database) -> None:
    mine = factories.topology(
        database, name="<script>alert(1)</script>", prototxt='name: "<script>alert(2)</script>"\n'
    )
    for path in ("/topologies", f"/topologies/{mine.id}", f"/topologies/new?original={mine.id}"):
        assert "<script>alert" not in client.get(path).text


def test_the_diagram_shows_every_layer_with_its_line(client: Browser) -> None:
    page = client.get("/topologies/lenet").text
    drawn = re.search(r'<svg class="net-diagram".*?</svg>', page, re.DOTALL)
    assert drawn
    for name in ("conv1", "pool1", "conv2", "pool2", "ip1", "ip2", "loss"):
        assert f">{name}</text>" in drawn[0]
    assert re.search(r'<g class="node"[^>]*data-line="21"><title>conv1: Convolution, 20×24×24', drawn[0])


def test_the_editor_shows_diagram_and_changes_on_demand(client: Browser) -> None:
    text = LENET.replace("num_output: 20", "num_output: 30")
    assert "net-diagram" not in client.send_form("/topologies/_report", **FORM).text
    assert 'class="net-diagram"' in client.send_form("/topologies/_report", **FORM, view="diagram").text
    changes = client.send_form("/topologies/_report", **(FORM | {"prototxt": text}), view="changes").text
    assert "convolution_param.num_output: 20 → 30" in html.unescape(changes)
    assert '<span class="line" data-change="removed">    num_output: 20  kernel_size: 5</span>' in changes
    assert "Nothing has changed" in client.send_form("/topologies/_report", **FORM, view="changes").text


def test_changes_of_texts_that_cannot_be_read_are_shown_by_line(client: Browser) -> None:
    answer = client.send_form("/topologies/_report", **(FORM | {"prototxt": "layer {"}), view="changes")
    assert answer.status_code == 200
    assert 'data-change="removed">name: "LeNet"</span>' in html.unescape(answer.text)
    assert "cannot be read layer by layer" in answer.text


def test_a_saved_topology_is_compared_with_its_original(client: Browser, database: Database) -> None:
    sent(client, prototxt=LENET.replace("num_output: 500", "num_output: 300"))
    saved = topologies_in(database)[0]
    page = client.get(f"/topologies/{saved.id}").text
    assert f'href="/topologies/compare?old=lenet&amp;new={saved.id}"' in page
    compared = client.get(f"/topologies/compare?old=lenet&new={saved.id}").text
    assert "inner_product_param.num_output: 500 → 300" in html.unescape(compared)
    assert "431,080" in compared
    assert client.get("/topologies/compare?old=lenet&new=nope").status_code == 404
    assert client.get("/topologies/compare").status_code == 404
