from app.db import Database, JobKind, Status
from tests import factories
from tests.conftest import Browser


def test_a_newcomer_is_told_the_next_step_and_only_that(client: Browser, database: Database) -> None:
    page = client.get("/").text
    assert "Train your first model" in page
    assert 'action="/uploads/sample"' in page
    upload = factories.upload(database)
    page = client.get("/").text
    assert 'href="/datasets/new"' in page
    assert 'action="/uploads/sample"' not in page
    dataset = factories.dataset(database, upload_id=upload.id)
    assert 'href="/models/new"' in client.get("/").text
    factories.model(database, dataset_id=dataset.id)
    assert "Train your first model" not in client.get("/").text


def test_running_and_queued_jobs_are_shown_with_their_progress(client: Browser, database: Database) -> None:
    factories.job(database, JobKind.TRAIN, Status.RUNNING, title="LeNet 犬", progress_percent=43.2, eta_s=94.0,
                  path="/models/7", detail={"epoch": 6.4, "epochs": 15})  # fmt: skip
    factories.job(database, JobKind.TRAIN, Status.QUEUED, title="next one")
    factories.job(database, JobKind.TRAIN, Status.DONE, title="long ended")
    page = client.get("/_active").text
    assert "running 43 %" in page
    assert 'href="/models/7"' in page
    assert "1 min 34 s left" in page
    assert page.index("LeNet 犬") < page.index("next one")
    assert "long ended" not in page
    assert "1 running, 1 queued" in page


def test_the_newest_models_and_datasets_are_shown(client: Browser, database: Database) -> None:
    dataset = factories.dataset(database, name="花 256")
    factories.model(database, dataset_id=dataset.id, name="LeNet 花", accuracy={"val": 0.9907})
    page = client.get("/").text
    assert "花 256" in page
    assert "99.07 %" in page
    assert "1 upload, 1 dataset, 1 model" in page


def test_many_queued_jobs_are_counted_and_not_all_shown(client: Browser, database: Database) -> None:
    for _ in range(23):
        factories.job(database, JobKind.TRAIN, Status.QUEUED)
    assert "3 more queued" in client.get("/_active").text


def test_names_are_shown_as_text(client: Browser, database: Database) -> None:
    factories.job(database, JobKind.TRAIN, Status.RUNNING, title='<script>alert("x")</script>')
    page = client.get("/").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
