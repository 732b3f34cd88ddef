from __future__ import annotations

from datetime import timedelta

import pytest

from app.db import Database, Job, JobKind, Lane, Status
from app.db.base import now
from app.db.job import MAX_LOST_ATTEMPTS
from tests import factories

LEASE_S = 30.0


def claim(database: Database, lane: Lane = Lane.TRAIN, owner: str = "train@here:1:1") -> Job | None:
    with database.write() as session:
        return Job.claim_next(session, lane, owner, LEASE_S)


def look(database: Database, job: Job) -> Job:
    with database.read() as session:
        return session.get_one(Job, job.id)


def change(database: Database, job: Job, **values: object) -> None:
    with database.write() as session:
        row = session.get_one(Job, job.id)
        for name, value in values.items():
            setattr(row, name, value)


def running(database: Database, **values: object) -> Job:
    factories.job(database, **values)
    job = claim(database)
    assert job is not None
    return job


def test_a_claim_starts_the_first_attempt_under_a_lease(any_database: Database) -> None:
    factories.job(any_database)
    before = now()

    job = claim(any_database, owner="train@host:7:8")

    assert job is not None
    assert (job.status, job.attempt, job.owner) == (Status.RUNNING, 1, "train@host:7:8")
    assert job.lease_until is not None
    assert before < job.lease_until - timedelta(seconds=LEASE_S) < now()
    assert job.started_at == job.attempt_started_at
    assert look(any_database, job).status == Status.RUNNING


def test_a_running_job_is_not_claimed_again(any_database: Database) -> None:
    job = running(any_database)
    assert claim(any_database) is None
    with any_database.write() as session:
        assert Job.claim(session, job.id, "somebody else", LEASE_S) is None
    assert look(any_database, job).owner == "train@here:1:1"


def test_the_oldest_job_of_the_lane_is_claimed_first(any_database: Database) -> None:
    factories.job(any_database, JobKind.PREDICT)
    younger = factories.job(any_database, JobKind.TRAIN)
    older = factories.job(any_database, JobKind.TRAIN, queued_at=now() - timedelta(minutes=1))

    claimed = [claim(any_database, Lane.TRAIN) for _ in range(3)]

    assert [job.id if job else None for job in claimed] == [older.id, younger.id, None]


def test_every_kind_of_job_has_a_lane(any_database: Database) -> None:
    lanes = {kind: Lane(factories.job(any_database, kind).lane) for kind in JobKind}
    assert len({lanes[kind] for kind in (JobKind.BUILD_DATASET, JobKind.TRAIN, JobKind.PREDICT)}) == 3


def test_a_job_waits_until_what_it_waits_for_is_done(any_database: Database) -> None:
    build = factories.job(any_database, JobKind.BUILD_DATASET)
    train = factories.job(any_database, waits_for_id=build.id)
    assert claim(any_database) is None

    started = claim(any_database, Lane.DATA)
    assert started is not None
    assert claim(any_database) is None
    with any_database.write() as session:
        assert Job.finish(session, started.id, started.attempt)

    claimed = claim(any_database)
    assert claimed is not None
    assert claimed.id == train.id


def test_a_job_made_for_something_done_waits_for_nothing(any_database: Database) -> None:
    build = factories.job(any_database, JobKind.BUILD_DATASET, Status.DONE)
    assert Job.of(JobKind.TRAIN, title="a model", user_id=None, waits_for=build).waits_for_id is None


@pytest.mark.parametrize("end", ["fail", "stop"])
def test_when_what_it_waits_for_does_not_get_done_a_job_fails_with_the_reason(any_database: Database, end: str) -> None:
    factories.job(any_database, JobKind.BUILD_DATASET, title="pets 28")
    build = claim(any_database, Lane.DATA)
    assert build is not None
    train = factories.job(any_database, waits_for_id=build.id)
    running_already = factories.job(any_database, JobKind.TRAIN, Status.RUNNING, waits_for_id=build.id)

    with any_database.write() as session:
        if end == "fail":
            assert Job.fail(session, build.id, build.attempt, "No image could be read.")
        else:
            assert Job.end_stopped(session, build.id, build.attempt)

    failed = look(any_database, train)
    assert failed.status == Status.FAILED
    assert failed.error is not None
    assert "pets 28" in failed.error
    assert ("No image could be read." in failed.error) == (end == "fail")
    assert look(any_database, running_already).status == Status.RUNNING


def test_a_job_queued_just_after_what_it_waits_for_failed_is_failed_by_reconcile(any_database: Database) -> None:
    build = factories.job(any_database, JobKind.BUILD_DATASET, Status.FAILED, title="pets 28", error="No images.")
    waiting_well = factories.job(any_database, JobKind.BUILD_DATASET)
    forsaken = factories.job(any_database, waits_for_id=build.id)
    patient = factories.job(any_database, waits_for_id=waiting_well.id)

    with any_database.write() as session:
        assert Job.reconcile(session, Lane.DATA) == []

    assert look(any_database, forsaken).status == Status.FAILED
    assert "No images." in str(look(any_database, forsaken).error)
    assert look(any_database, patient).status == Status.QUEUED


def test_a_beat_extends_the_lease_and_brings_the_stop_request(any_database: Database) -> None:
    job = running(any_database)
    change(any_database, job, lease_until=now() + timedelta(seconds=1))

    with any_database.write() as session:
        beat = Job.beat(session, job.id, job.attempt, LEASE_S)
    assert (beat.is_mine, beat.stop_requested) == (True, False)
    lease_until = look(any_database, job).lease_until
    assert lease_until is not None
    assert lease_until > now() + timedelta(seconds=LEASE_S - 5)

    with any_database.write() as session:
        assert Job.request_stop(session, job.id)
    with any_database.write() as session:
        beat = Job.beat(session, job.id, job.attempt, LEASE_S)
    assert (beat.is_mine, beat.stop_requested) == (True, True)


def test_a_beat_does_not_count_as_a_change(any_database: Database) -> None:
    job = running(any_database)
    before = look(any_database, job).changed_at
    with any_database.write() as session:
        Job.beat(session, job.id, job.attempt, LEASE_S)
    assert look(any_database, job).changed_at == before
    with any_database.write() as session:
        Job.report(session, job.id, job.attempt, 5.0, {}, None)
    assert look(any_database, job).changed_at > before


WRITES_OF_A_RUN = {
    "beat": lambda session, job, attempt: Job.beat(session, job, attempt, LEASE_S).is_mine,
    "holds": lambda session, job, attempt: Job.holds(session, job, attempt),
    "report": lambda session, job, attempt: Job.report(session, job, attempt, 50.0, {"phase": "ghost"}, 3.0),
    "finish": lambda session, job, attempt: Job.finish(session, job, attempt),
    "fail": lambda session, job, attempt: Job.fail(session, job, attempt, "ghost"),
    "end_stopped": lambda session, job, attempt: Job.end_stopped(session, job, attempt),
    "give_back": lambda session, job, attempt: Job.give_back(session, job, attempt),
    "lose": lambda session, job, attempt: Job.lose(session, job, attempt, "ghost") is not None,
}


def columns(job: Job) -> dict[str, object]:
    return {column.key: getattr(job, column.key) for column in Job.__mapper__.columns}


@pytest.mark.parametrize("write", WRITES_OF_A_RUN)
@pytest.mark.parametrize("state", ["taken over", "queued again", "done"])
def test_an_attempt_that_is_no_longer_the_rows_changes_nothing(database: Database, write: str, state: str) -> None:
    job = running(database)
    with database.write() as session:
        if state == "done":
            Job.finish(session, job.id, 1)
        else:
            Job.lose(session, job.id, 1, "killed")
    if state == "taken over":
        claim(database, owner="train@elsewhere:2:2")
    before = columns(look(database, job))

    with database.write() as session:
        assert not WRITES_OF_A_RUN[write](session, job.id, 1)

    assert columns(look(database, job)) == before


@pytest.mark.parametrize("write", WRITES_OF_A_RUN)
def test_the_present_attempt_may_write(any_database: Database, write: str) -> None:
    job = running(any_database)
    with any_database.write() as session:
        assert WRITES_OF_A_RUN[write](session, job.id, job.attempt)


@pytest.mark.parametrize(("said", "kept"), [(-3.0, 0.0), (42.5, 42.5), (100.2, 100.0)])
def test_progress_stays_between_0_and_100(database: Database, said: float, kept: float) -> None:
    job = running(database)
    with database.write() as session:
        Job.report(session, job.id, 1, said, {"phase": "training"}, 12.5)
    row = look(database, job)
    assert (row.progress_percent, row.detail, row.eta_s) == (kept, {"phase": "training"}, 12.5)


def test_a_finished_job_is_at_100_percent_and_keeps_its_times(any_database: Database) -> None:
    job = running(any_database)
    with any_database.write() as session:
        assert Job.finish(session, job.id, 1)
    row = look(any_database, job)
    assert (row.status, row.progress_percent, row.owner, row.lease_until) == (Status.DONE, 100.0, None, None)
    assert row.started_at is not None
    assert row.finished_at is not None
    assert row.elapsed_s == (row.finished_at - row.started_at).total_seconds()


def test_a_lost_attempt_is_queued_again_and_the_third_is_the_last(any_database: Database) -> None:
    job = running(any_database)
    place = look(any_database, job).queued_at
    outcomes = []
    for attempt in range(1, MAX_LOST_ATTEMPTS + 1):
        with any_database.write() as session:
            outcomes.append(Job.lose(session, job.id, attempt, "its process was killed"))
        claim(any_database)
    row = look(any_database, job)

    assert outcomes == [Status.QUEUED, Status.QUEUED, Status.FAILED]
    assert (row.status, row.attempt, row.lost_attempts) == (Status.FAILED, 3, 3)
    assert row.error == "Given up after 3 attempts: its process was killed"
    assert row.queued_at == place


def test_an_attempt_lost_after_a_stop_request_is_stopped(any_database: Database) -> None:
    job = running(any_database)
    with any_database.write() as session:
        Job.request_stop(session, job.id)
    with any_database.write() as session:
        assert Job.lose(session, job.id, 1, "killed") is Status.STOPPED
    assert look(any_database, job).status == Status.STOPPED


def test_giving_back_costs_no_attempt_and_no_place_in_the_queue(any_database: Database) -> None:
    job = running(any_database)
    factories.job(any_database)
    for _ in range(2 * MAX_LOST_ATTEMPTS):
        with any_database.write() as session:
            assert Job.give_back(session, job.id, look(any_database, job).attempt)
        again = claim(any_database)
        assert again is not None
        assert again.id == job.id
    row = look(any_database, job)
    assert (row.status, row.lost_attempts) == (Status.RUNNING, 0)


def test_reconcile_queues_lapsed_leases_again_and_leaves_living_ones(any_database: Database) -> None:
    lapsed, living, other_lane = running(any_database), running(any_database), running(any_database)
    change(any_database, lapsed, lease_until=now() - timedelta(seconds=1))
    change(any_database, other_lane, lease_until=now() - timedelta(seconds=1), lane=Lane.DATA)

    with any_database.write() as session:
        assert Job.reconcile(session, Lane.TRAIN) == [lapsed.id]

    assert look(any_database, lapsed).status == Status.QUEUED
    assert look(any_database, living).status == Status.RUNNING
    assert look(any_database, other_lane).status == Status.RUNNING
    with any_database.write() as session:
        assert Job.reconcile(session) == [other_lane.id]


def test_reconcile_gives_up_a_job_that_was_lost_three_times(any_database: Database) -> None:
    job = running(any_database)
    change(any_database, job, lost_attempts=2, lease_until=now() - timedelta(seconds=1))
    with any_database.write() as session:
        assert Job.reconcile(session) == []
    row = look(any_database, job)
    assert row.status == Status.FAILED
    assert "train@here:1:1" in str(row.error)


def test_a_stop_ends_a_queued_job_at_once(any_database: Database) -> None:
    build = factories.job(any_database, JobKind.BUILD_DATASET)
    waiting = factories.job(any_database, waits_for_id=build.id)
    with any_database.write() as session:
        assert Job.request_stop(session, build.id)
    assert look(any_database, build).status == Status.STOPPED
    assert look(any_database, waiting).status == Status.FAILED
    assert claim(any_database, Lane.DATA) is None


def test_a_stop_only_marks_a_running_job(any_database: Database) -> None:
    job = running(any_database)
    with any_database.write() as session:
        assert Job.request_stop(session, job.id)
    row = look(any_database, job)
    assert (row.status, row.is_stopping) == (Status.RUNNING, True)


@pytest.mark.parametrize("status", [Status.DONE, Status.FAILED, Status.STOPPED])
def test_an_ended_job_cannot_be_stopped(any_database: Database, status: Status) -> None:
    job = factories.job(any_database, status=status)
    with any_database.write() as session:
        assert not Job.request_stop(session, job.id)
    assert look(any_database, job).status == status


@pytest.mark.parametrize("status", Status)
def test_only_stopped_and_failed_jobs_resume(any_database: Database, status: Status) -> None:
    long_ago = now() - timedelta(days=1)
    job = factories.job(any_database, status=status, error="why", lost_attempts=3, queued_at=long_ago, sent_at=long_ago)
    with any_database.write() as session:
        resumed = Job.resume(session, job.id)
    row = look(any_database, job)

    assert resumed == (status in (Status.STOPPED, Status.FAILED))
    if resumed:
        assert (row.status, row.error, row.lost_attempts, row.sent_at) == (Status.QUEUED, None, 0, None)
        assert row.queued_at > long_ago
        assert not row.stop_requested
    else:
        assert row.status == status


@pytest.mark.parametrize("status", list(Status))
def test_a_job_that_has_ended_can_be_done_once_more(any_database: Database, status: Status) -> None:
    long_ago = now() - timedelta(days=1)
    job = factories.job(any_database, status=status, error="why", started_at=long_ago, finished_at=long_ago)
    with any_database.write() as session:
        repeated = Job.repeat(session, job.id)
    row = look(any_database, job)
    assert repeated == status.has_ended
    if repeated:
        assert (row.status, row.error, row.started_at, row.finished_at) == (Status.QUEUED, None, None, None)
    else:
        assert (row.status, row.started_at) == (status, long_ago)


def test_a_stop_request_does_not_outlive_the_run_it_was_for(any_database: Database) -> None:
    job = running(any_database)
    with any_database.write() as session:
        Job.request_stop(session, job.id)
    with any_database.write() as session:
        assert Job.end_stopped(session, job.id, 1)
    with any_database.write() as session:
        assert Job.resume(session, job.id)
    again = claim(any_database)
    assert again is not None
    with any_database.write() as session:
        assert not Job.beat(session, again.id, again.attempt, LEASE_S).stop_requested


def test_unsent_are_ready_jobs_whose_message_is_missing_or_old(any_database: Database) -> None:
    never = factories.job(any_database)
    old = factories.job(any_database, sent_at=now() - timedelta(seconds=11))
    factories.job(any_database, sent_at=now())
    factories.job(any_database, JobKind.PREDICT)
    factories.job(any_database, status=Status.DONE)
    build = factories.job(any_database, JobKind.BUILD_DATASET)
    factories.job(any_database, waits_for_id=build.id)

    with any_database.write() as session:
        assert Job.unsent(session, Lane.TRAIN, limit=10) == [never.id, old.id]
        assert Job.unsent(session, Lane.TRAIN, limit=1) == [never.id]
        Job.mark_sent(session, [never.id, old.id])
    with any_database.write() as session:
        assert Job.unsent(session, Lane.TRAIN, limit=10) == []


def test_a_verb_keeps_what_else_was_changed_in_the_same_transaction(any_database: Database) -> None:
    dataset = factories.dataset(any_database, status=Status.QUEUED)
    build = claim(any_database, Lane.DATA)
    assert build is not None
    with any_database.write() as session:
        row = session.get_one(type(dataset), dataset.id)
        row.result = {"classes": ["猫", "dog"]}
        assert Job.finish(session, build.id, build.attempt)
    with any_database.read() as session:
        row = session.get_one(type(dataset), dataset.id)
        assert row.classes == ["猫", "dog"]
        assert row.status is Status.DONE


def test_a_long_title_is_cut(any_database: Database) -> None:
    with any_database.write() as session:
        session.add(Job.of(JobKind.TRAIN, title="長" * 500, user_id=None))
    job = claim(any_database)
    assert job is not None
    assert job.title == "長" * 300
