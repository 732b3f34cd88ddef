import pytest

from app.security import passwords
from app.security.passwords import hash_password, is_outdated, is_right, password_fault, username_fault, username_key


def test_a_hash_is_argon2id_and_fits_only_its_password() -> None:
    hashed = hash_password("correct horse battery")
    assert hashed.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert is_right(hashed, "correct horse battery")
    assert not is_right(hashed, "correct horse batterY")
    assert not is_outdated(hashed)


def test_the_same_password_is_hashed_differently_each_time() -> None:
    assert hash_password("correct horse battery") != hash_password("correct horse battery")


def test_no_password_fits_where_there_is_no_hash_or_a_damaged_one() -> None:
    assert not is_right(None, "the password of nobody")
    assert not is_right("", "anything")
    assert not is_right("not a hash", "anything")


def test_a_weaker_hash_is_outdated() -> None:
    weaker = passwords.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("correct horse battery")
    assert is_right(weaker, "correct horse battery")
    assert is_outdated(weaker)


def test_characters_typed_on_another_system_are_the_same_password() -> None:
    assert is_right(hash_password("café secret"), "cafe\u0301 secret")


@pytest.mark.parametrize("password", ["short", "password", "PASSWORD1", "aaaaaaaaaaaa", "１２３４５６７８", "x" * 1025])
def test_passwords_that_are_guessed_first_are_refused(password: str) -> None:
    assert password_fault(password)


def test_the_user_name_is_no_password() -> None:
    assert password_fault("Alexandra", "alexandra")
    assert password_fault("Alexandra", "somebody") is None


@pytest.mark.parametrize(
    "password", ["correct horse battery", "かんたんではない文章", "x" * 512 + "y" * 512, "  pass  "]
)
def test_long_passwords_in_any_script_are_taken(password: str) -> None:
    assert password_fault(password) is None


def test_names_that_look_the_same_are_the_same() -> None:
    assert username_key(" Ａｄｍｉｎ ") == username_key("admin") == "admin"
    assert username_key("ad\x00min\ud800") == "admin?"


@pytest.mark.parametrize("name", ["", "   ", "\x00", "a\nb", "x" * 65, "\u202eabc"])
def test_names_that_cannot_be_shown_on_one_line_are_refused(name: str) -> None:
    assert username_fault(name)


def test_a_japanese_name_is_a_name() -> None:
    assert username_fault("青木 太郎") is None
