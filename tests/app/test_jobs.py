import pytest

from app.db import Database, Job, JobKind, Lane, Status, User
from app.jobs import Wanted, active_jobs, count_jobs, find_job, list_jobs, stop_job
from app.web import NotAllowed, PageNotFound
from tests import factories


def waiting_for(database: Database, awaited: Job) -> Job:
    job = factories.job(database, JobKind.TRAIN, title="waits")
    with database.write() as session:
        session.get_one(Job, job.id).waits_for_id = awaited.id
    return job


def test_running_jobs_come_first_then_those_that_are_taken_next(any_database: Database) -> None:
    statuses = [Status.QUEUED, Status.RUNNING, Status.DONE, Status.QUEUED, Status.RUNNING, Status.FAILED]
    ids = [factories.job(any_database, JobKind.TRAIN, status).id for status in statuses]
    with any_database.read() as session:
        assert [row.job.id for row in active_jobs(session)] == [ids[1], ids[4], ids[0], ids[3]]
        assert [row.job.id for row in active_jobs(session, limit=2)] == [ids[1], ids[4]]


def test_a_job_names_its_owner_and_what_it_waits_for(database: Database) -> None:
    user = factories.user(database)
    build = factories.job(database, JobKind.BUILD_DATASET, Status.RUNNING, title="flowers", user_id=user.id)
    job = waiting_for(database, build)
    with database.read() as session:
        assert find_job(session, build.id).username == user.username
        assert find_job(session, job.id).waits_for == "flowers"
    with database.write() as session:
        session.get_one(Job, build.id).status = Status.DONE
    with database.read() as session:
        assert find_job(session, job.id).waits_for == ""
        with pytest.raises(PageNotFound):
            find_job(session, 999)


def test_the_list_goes_on_where_it_ended_and_is_filtered(any_database: Database) -> None:
    kinds = [JobKind.BUILD_DATASET, JobKind.TRAIN, JobKind.PREDICT, JobKind.EVALUATE, JobKind.TRAIN]
    ids = [factories.job(any_database, kind, Status.DONE).id for kind in kinds]
    with any_database.read() as session:
        first, after = list_jobs(session, Wanted(limit=3))
        second, end = list_jobs(session, Wanted(limit=3, after=after))
        assert [row.job.id for row in first + second] == ids[::-1]
        assert end is None
        assert {row.job.id for row in list_jobs(session, Wanted(lane=Lane.PREDICT))[0]} == {ids[2], ids[3]}
        assert list_jobs(session, Wanted(status=Status.QUEUED)) == ([], None)
        assert count_jobs(session)["done"] == count_jobs(session)["all"] == 5


def test_a_queued_job_stops_at_once_and_a_running_one_is_asked_to(database: Database, admin: User) -> None:
    queued = factories.job(database, status=Status.QUEUED)
    running = factories.job(database, status=Status.RUNNING)
    ended = factories.job(database, status=Status.DONE)
    assert [stop_job(database, admin, job.id) for job in (queued, running, ended)] == [True, True, False]
    with database.read() as session:
        assert find_job(session, queued.id).job.status == Status.STOPPED
        assert find_job(session, running.id).job.is_stopping
        assert find_job(session, ended.id).job.status == Status.DONE


def test_only_the_owner_and_administrators_stop_a_job(database: Database, admin: User) -> None:
    owner, guest = factories.user(database), factories.user(database)
    job = factories.job(database, status=Status.RUNNING, user_id=owner.id)
    with pytest.raises(NotAllowed):
        stop_job(database, guest, job.id)
    with database.read() as session:
        assert not find_job(session, job.id).job.stop_requested
    assert stop_job(database, owner, job.id)
    assert stop_job(database, admin, job.id)
