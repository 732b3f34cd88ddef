import threading
import time
from datetime import timedelta
from statistics import median

import pytest
from sqlalchemy import select, update

from app.db import Database, SignInAttempt, User
from app.db.base import now
from app.security import sign_in as module
from app.security.accounts import AccountError, disable_user
from app.security.sign_in import WRONG, SignInRefused, check_password, set_up, sign_in, wait_s
from tests import factories

PASSWORD = "correct horse battery"


@pytest.fixture
def user(database: Database) -> User:
    return factories.user(database, username="aoki", password=PASSWORD)


def refused(database: Database, username: str, password: str, address: str = "10.0.0.1") -> SignInRefused:
    with pytest.raises(SignInRefused) as error:
        sign_in(database, username, password, address)
    return error.value


def test_the_right_password_signs_in(database: Database, user: User) -> None:
    assert sign_in(database, "AOKI", PASSWORD, "10.0.0.1").id == user.id


def test_a_wrong_name_a_wrong_password_and_a_disabled_user_are_told_the_same(database: Database, user: User) -> None:
    disabled = factories.user(database, username="gone", password=PASSWORD)
    with database.write() as session:
        disable_user(session, disabled.id)
    messages = {
        refused(database, *pair).message for pair in (("aoki", "nope"), ("nobody", PASSWORD), ("gone", PASSWORD))
    }
    assert messages == {WRONG}


def test_a_wrong_name_takes_as_long_as_a_wrong_password(
    database: Database, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.FREE_TRIES, "user", 1000)
    monkeypatch.setitem(module.FREE_TRIES, "address", 1000)

    def seconds(username: str) -> float:
        begin = time.thread_time()
        refused(database, username, "wrong password")
        return time.thread_time() - begin

    known, unknown = zip(*((seconds("aoki"), seconds(f"nobody{number}")) for number in range(7)), strict=True)
    assert median(unknown) == pytest.approx(median(known), rel=0.5)


def test_the_sixth_wrong_password_has_to_wait_even_if_it_is_right(database: Database, user: User) -> None:
    for number in range(5):
        assert refused(database, "aoki", f"wrong {number}").retry_after_s is None
    late = refused(database, "aoki", PASSWORD)
    assert late.retry_after_s is not None
    assert 0 < late.retry_after_s <= 15


def test_somebody_else_at_another_address_is_not_held_up(database: Database, user: User) -> None:
    for number in range(6):
        refused(database, "aoki", f"wrong {number}")
    other = factories.user(database, username="other", password=PASSWORD)
    assert sign_in(database, "other", PASSWORD, "10.0.0.2").id == other.id


def test_names_that_do_not_exist_are_held_up_too(database: Database) -> None:
    for number in range(5):
        refused(database, "nobody", f"wrong {number}")
    assert refused(database, "nobody", "wrong").retry_after_s is not None


def test_one_address_cannot_try_many_names(database: Database) -> None:
    for number in range(20):
        assert refused(database, f"nobody{number}", "wrong").retry_after_s is None
    assert refused(database, "one more", "wrong").retry_after_s is not None
    assert refused(database, "one more", "wrong", "10.0.0.2").retry_after_s is None


def test_one_ipv6_network_counts_as_one_address() -> None:
    assert module._address_key("2001:db8::1") == module._address_key("2001:db8::ffff:2")
    assert module._address_key("2001:db8::1") != module._address_key("2001:db8:0:1::1")


def test_waiting_ends_and_success_forgets(database: Database, user: User) -> None:
    for number in range(6):
        refused(database, "aoki", f"wrong {number}")
    with database.write() as session:
        session.execute(update(SignInAttempt).values(at=now() - timedelta(seconds=16)))
    assert sign_in(database, "aoki", PASSWORD, "10.0.0.1").id == user.id
    with database.read() as session:
        keys = session.scalars(select(SignInAttempt.key)).all()
    assert "user:aoki" not in keys


def test_pauses_double_up_to_five_minutes() -> None:
    moment = now()
    waits = [wait_s("user", [moment] * count, moment) for count in range(13)]
    assert waits == [0, 0, 0, 0, 0, 15, 30, 60, 120, 240, 300, 300, 300]


def test_many_at_once_do_not_slip_through(database: Database, user: User) -> None:
    """Every attempt is written down before it is looked at, so twenty in parallel are no more than five."""
    tried = []

    def attempt() -> None:
        tried.append(refused(database, "aoki", "wrong").retry_after_s is None)

    threads = [threading.Thread(target=attempt) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tried) == 5


def test_old_attempts_are_cleared_away(database: Database) -> None:
    with database.write() as session:
        session.add(SignInAttempt(key="user:aoki", at=now() - timedelta(days=2)))
    refused(database, "aoki", "wrong")
    with database.read() as session:
        assert len(session.scalars(select(SignInAttempt).where(SignInAttempt.key == "user:aoki")).all()) == 1


def test_a_weaker_hash_is_made_anew_at_sign_in(database: Database, user: User) -> None:
    from argon2 import PasswordHasher

    weaker = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    with database.write() as session:
        session.get_one(User, user.id).password_hash = weaker
    sign_in(database, "aoki", PASSWORD, "10.0.0.1")
    with database.read() as session:
        assert "m=47104" in session.get_one(User, user.id).password_hash


def test_a_name_that_no_database_can_hold_is_only_wrong(any_database: Database) -> None:
    assert refused(any_database, "a\x00b\ud800", "wrong").message == WRONG


def test_the_password_asked_for_again_is_counted_too(database: Database, user: User) -> None:
    assert check_password(database, user, PASSWORD, "10.0.0.1")
    for _ in range(5):
        assert not check_password(database, user, "wrong", "10.0.0.1")
    with pytest.raises(SignInRefused):
        check_password(database, user, PASSWORD, "10.0.0.1")


def test_the_first_user_is_an_administrator(database: Database) -> None:
    user = set_up(database, "abcd-EFGH", " ABCD efgh\n", "青木", PASSWORD, "10.0.0.1")
    assert user.is_admin
    with pytest.raises(SignInRefused):
        set_up(database, "abcd-EFGH", "abcd-EFGH", "second", PASSWORD, "10.0.0.1")


@pytest.mark.parametrize(("expected", "code"), [("abcd", "abce"), ("abcd", ""), ("", ""), ("", "anything")])
def test_without_the_code_nobody_sets_up(database: Database, expected: str, code: str) -> None:
    with pytest.raises(SignInRefused) as error:
        set_up(database, expected, code, "admin", PASSWORD, "10.0.0.1")
    assert error.value.field == "code"


def test_the_code_cannot_be_guessed(database: Database) -> None:
    for number in range(10):
        with pytest.raises(SignInRefused):
            set_up(database, "abcd", f"wrong {number}", "admin", PASSWORD, f"10.0.0.{number}")
    with pytest.raises(SignInRefused) as error:
        set_up(database, "abcd", "abcd", "admin", PASSWORD, "10.0.0.99")
    assert error.value.retry_after_s is not None


def test_a_bad_password_at_set_up_leaves_nobody(database: Database) -> None:
    with pytest.raises(AccountError):
        set_up(database, "abcd", "abcd", "admin", "short", "10.0.0.1")
    with database.read() as session:
        assert session.scalars(select(User)).all() == []
