import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event

from app.archives import ClassCount, Contents
from app.db import Database, Job, JobKind, Status, Upload
from app.settings import Settings
from app.storage import Storage
from app.uploads import uploads
from app.uploads.uploads import Checks, add_sample, announce, check, clean_filename, clean_name, list_uploads
from app.web import ApiError
from tests import factories
from tests.app.zips import zip_of


def received(database: Database, storage: Storage, data: bytes, *, filename: str = "pets.zip", size: int = -1) -> int:
    """An upload of which `data` has arrived."""
    upload = announce(database, storage, user_id=None, filename=filename, size_bytes=len(data) if size < 0 else size)
    storage.upload_file(upload.id).write_bytes(data)
    uploads.note_received(database, upload.id, len(data))
    return upload.id


def get(database: Database, upload_id: int) -> Upload:
    with database.read() as session:
        return session.get_one(Upload, upload_id)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("犬と猫.zip", "犬と猫.zip"),
        ("か\u3099.zip", "が.zip"),
        ("C:\\Users\\me\\pets.zip", "pets.zip"),
        ("/etc/passwd", "passwd"),
        ("../../pets.zip", "pets.zip"),
        ("a\x00b\nc\u202e.zip", "abc.zip"),
        ("\ud800.zip", "?.zip"),
        ("x" * 400 + ".tar.gz", "x" * 248 + ".tar.gz"),
        ("", "archive"),
        ("..", "archive"),
        ("folder/", "folder"),
    ],
)
def test_a_file_name_is_only_a_name(text: str, name: str) -> None:
    assert clean_filename(text) == name


@pytest.mark.parametrize(
    ("typed", "filename", "name"),
    [
        ("", "pets.zip", "pets"),
        ("", "pets.v2.TAR.GZ", "pets.v2"),
        ("", ".zip", ".zip"),
        ("  my   pets \n", "pets.zip", "my pets"),
        ("x" * 300, "pets.zip", "x" * 255),
    ],
)
def test_an_upload_is_called_as_typed_or_as_its_file(typed: str, filename: str, name: str) -> None:
    assert clean_name(typed, filename) == name


def test_a_checked_upload_knows_its_classes(any_database: Database, storage: Storage) -> None:
    data = zip_of({"犬": 3, "猫": 2, "鳥": 1})
    upload_id = received(any_database, storage, data)
    check(any_database, storage, upload_id)
    upload = get(any_database, upload_id)
    assert upload.status == Status.DONE
    assert upload.classes == [{"name": "犬", "count": 3}, {"name": "猫", "count": 2}, {"name": "鳥", "count": 1}]
    assert upload.sha256 is not None
    assert len(upload.sha256) == 64
    assert upload.finished_at is not None
    assert upload.warnings == ["The class “鳥” has a single image; it cannot be split."]


def test_what_is_no_archive_fails_with_the_reason_and_leaves_no_file(database: Database, storage: Storage) -> None:
    upload_id = received(database, storage, b"<!doctype html><title>Not found</title>" * 20)
    check(database, storage, upload_id)
    upload = get(database, upload_id)
    assert upload.status == Status.FAILED
    assert upload.error is not None
    assert "pets.zip" in upload.error
    assert not storage.upload_dir(upload_id).exists()


def test_a_file_of_another_length_than_announced_fails(database: Database, storage: Storage) -> None:
    upload_id = received(database, storage, zip_of({"a": 2, "b": 2}), size=10)
    check(database, storage, upload_id)
    assert "Expected 10 bytes" in str(get(database, upload_id).error)


def test_a_file_that_is_gone_fails(database: Database, storage: Storage) -> None:
    upload_id = received(database, storage, b"x")
    shutil.rmtree(storage.upload_dir(upload_id))
    check(database, storage, upload_id)
    assert get(database, upload_id).status == Status.FAILED


def test_a_check_that_ended_is_not_made_again(database: Database, storage: Storage) -> None:
    upload_id = received(database, storage, zip_of({"a": 2, "b": 2}))
    check(database, storage, upload_id)
    storage.upload_file(upload_id).write_bytes(b"damaged afterwards")
    check(database, storage, upload_id)
    assert get(database, upload_id).status == Status.DONE


def test_many_checks_of_one_upload_are_one(database: Database, storage: Storage) -> None:
    checks = Checks(database, storage)
    upload_id = received(database, storage, zip_of({"a": 2, "b": 2}, stuffing=os.urandom(5_000_000)))
    threads = {checks.start(upload_id) for _ in range(5)}
    assert len(threads) == 1
    threads.pop().join(30)
    assert get(database, upload_id).status == Status.DONE


def test_what_a_person_should_know_is_said() -> None:
    contents = Contents("zip", [ClassCount("only", 0)], 0, {}, None, 0, {})
    assert uploads.warnings_about(contents) == [
        "There is only one class, “only”; a model needs two or more to tell apart. If a list says which class each "
        "image belongs to, make a dataset from lists and send the list with its form.",
        "The class “only” has no image.",
    ]
    (loose,) = uploads.warnings_about(Contents("zip", [], 1_200, {}, None, 0, {}))
    assert loose.startswith("Its 1,200 images lie in no class folder, so there are no classes yet. If a list says")
    many = Contents("zip", [ClassCount(f"c{number}", 1) for number in range(9)], 9, {}, None, 0, {})
    assert uploads.warnings_about(many) == [
        "The classes “c0”, “c1”, “c2”, “c3”, “c4” and 4 more have a single image; it cannot be split."
    ]


def test_the_sample_is_an_upload_like_any_other(database: Database, storage: Storage) -> None:
    upload = add_sample(database, storage, user_id=None)
    assert upload.status == Status.DONE
    assert [entry["name"] for entry in upload.classes] == [str(digit) for digit in range(10)]
    assert upload.image_count == 1797
    assert storage.upload_file(upload.id).stat().st_size == upload.size_bytes


def test_a_file_that_is_too_large_is_refused_in_plain_words(storage: Storage) -> None:
    with pytest.raises(ApiError) as refused:
        uploads.refuse_size(storage, Settings(max_upload_gb=0.001), 1_000_001)
    assert refused.value.status_code == 413
    assert "1.0 MB" in refused.value.message


def test_a_file_that_does_not_fit_on_the_disk_is_refused_before_it_is_sent(storage: Storage) -> None:
    with pytest.raises(ApiError) as refused:
        uploads.refuse_size(storage, Settings(max_upload_gb=1e9), 10**17)
    assert refused.value.status_code == 507
    assert "free" in refused.value.message


def test_a_page_of_uploads_goes_on_where_the_last_one_ended(any_database: Database) -> None:
    ids = [factories.upload(any_database, name=f"upload {number}").id for number in range(7)]
    seen: list[int] = []
    after = None
    with any_database.read() as session:
        for _ in range(3):
            rows, after = list_uploads(session, after=after, limit=3)
            assert all(row.class_count == 2 for row in rows)
            seen += [row.upload.id for row in rows]
    assert seen == ids[::-1]
    assert after is None


def test_the_list_does_not_read_the_classes(database: Database) -> None:
    factories.upload(database, classes=[{"name": f"c{number}", "count": 1} for number in range(10_000)])
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    with database.read() as session:
        rows, _ = list_uploads(session)
    assert rows[0].class_count == 10_000
    assert "uploads.classes AS" not in " ".join(statements)


@pytest.mark.parametrize(
    ("text", "names"),
    [("犬", ["犬 100%"]), ("100%", ["犬 100%"]), ("_", ["a_b"]), ("A_B", ["a_b"]), ("%", ["犬 100%"])],
)
def test_the_list_is_filtered_by_part_of_a_name(any_database: Database, text: str, names: list[str]) -> None:
    for name in ("犬 100%", "a_b", "axb"):
        factories.upload(any_database, name=name)
    with any_database.read() as session:
        rows, _ = list_uploads(session, text=text)
        assert [row.upload.name for row in rows] == names
        assert list_uploads(session, status=Status.FAILED)[0] == []
        assert uploads.count_uploads(session) == {"done": 3, "all": 3}


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING])
def test_an_upload_that_a_build_needs_stays(any_database: Database, storage: Storage, status: Status) -> None:
    dataset = factories.dataset(any_database, name="pets 28", status=status)
    with pytest.raises(ApiError) as refused:
        uploads.delete_upload(any_database, storage, dataset.upload_id)
    assert refused.value.status_code == 409
    assert "pets 28" in refused.value.message


def test_a_deleted_upload_leaves_its_datasets(any_database: Database, storage: Storage) -> None:
    dataset = factories.dataset(any_database)
    storage.upload_dir(dataset.upload_id).mkdir()
    uploads.delete_upload(any_database, storage, dataset.upload_id)
    with any_database.read() as session:
        found = session.get_one(type(dataset), dataset.id)
        assert found.upload_id is None
        assert session.get(Upload, dataset.upload_id) is None
    assert list(storage.uploads.iterdir()) == []
    uploads.delete_upload(any_database, storage, dataset.upload_id)  # again: nothing to do


def started(database: Database, storage: Storage) -> Any:
    """What a web process does with uploads when it starts."""
    app: Any = SimpleNamespace(state=SimpleNamespace(database=database, storage=storage))
    uploads.resume_checks(app)
    for thread in list(uploads.checks_of(app)._running.values()):
        thread.join(30)


def test_a_check_that_was_cut_begins_again_at_the_next_start(database: Database, storage: Storage) -> None:
    upload_id = received(database, storage, zip_of({"a": 2, "b": 2}))
    started(database, storage)
    assert get(database, upload_id).status == Status.DONE


def test_bytes_that_arrived_before_a_crash_count_though_no_row_says_so(database: Database, storage: Storage) -> None:
    data = zip_of({"a": 2, "b": 2})
    upload = announce(database, storage, user_id=None, filename="pets.zip", size_bytes=len(data))
    storage.upload_file(upload.id).write_bytes(data)
    started(database, storage)
    assert get(database, upload.id).status == Status.DONE


def test_a_half_received_upload_waits_for_its_rest_for_a_week(database: Database, storage: Storage) -> None:
    fresh, old = (received(database, storage, b"half", size=100) for _ in range(2))
    week_ago = storage.upload_file(old).stat().st_mtime - 8 * 86_400
    os.utime(storage.upload_file(old), (week_ago, week_ago))
    started(database, storage)
    assert get(database, fresh).status == Status.RUNNING
    assert get(database, old).status == Status.STOPPED
    assert not storage.upload_dir(old).exists()


def test_a_form_s_file_that_was_cut_by_a_restart_fails(database: Database, storage: Storage) -> None:
    upload_id = received(database, storage, b"", size=100)
    uploads.incoming_file(storage, upload_id).write_bytes(b"half")
    started(database, storage)
    assert get(database, upload_id).status == Status.FAILED


def test_a_form_s_file_that_another_process_receives_goes_on(database: Database, storage: Storage) -> None:
    upload_id = received(database, storage, b"", size=100)
    incoming = uploads.incoming_file(storage, upload_id)
    incoming.write_bytes(b"half")
    with uploads.locked(incoming):
        started(database, storage)
    assert get(database, upload_id).status == Status.RUNNING


def test_leftovers_of_deletions_are_cleared_away(database: Database, storage: Storage, tmp_path: Path) -> None:
    (storage.uploads / ".deleted-3").mkdir()
    started(database, storage)
    assert list(storage.uploads.iterdir()) == []


def test_an_id_that_was_given_before_gets_an_empty_file(database: Database, storage: Storage) -> None:
    stale = storage.upload_file(1)
    stale.parent.mkdir()
    stale.write_bytes(b"of a database that was restored")
    upload = announce(database, storage, user_id=None, filename="pets.zip", size_bytes=10)
    assert upload.id == 1
    assert stale.read_bytes() == b""


def test_a_stopped_upload_takes_no_more_bytes(database: Database, storage: Storage) -> None:
    upload_id = received(database, storage, b"half", size=100)
    uploads.stop_upload(database, storage, upload_id)
    assert not uploads.note_received(database, upload_id, 50)
    assert get(database, upload_id).status == Status.STOPPED
    assert not storage.upload_dir(upload_id).exists()


def test_builds_are_the_only_jobs_that_hold_an_upload(database: Database, storage: Storage) -> None:
    upload = factories.upload(database)
    factories.job(database, JobKind.TRAIN, Status.RUNNING)
    with database.read() as session:
        assert uploads.builds_that_need_it(session, upload.id) == []
        assert session.query(Job).count() == 1
