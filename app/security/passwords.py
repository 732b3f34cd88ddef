"""Passwords and user names: their rules, their hashes. Who may sign in how often is in `app/security/sign_in.py`."""

from __future__ import annotations

import re
import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_PASSWORD = 8
MAX_PASSWORD = 1024
MAX_USERNAME = 64

# OWASP's figures for Argon2id: 46 MiB, one pass, one lane; about 40 ms on a server core.
_hasher = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
# Two at a time: a flood of sign-ins takes neither all cores nor gigabytes.
_turns = threading.BoundedSemaphore(2)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

# The commonest passwords of eight characters and more; shorter ones are refused for their length.
_COMMON = """
12345678 123456789 1234567890 0123456789 87654321 987654321 11111111 00000000 88888888 12341234 11223344 12344321
password password1 password12 password123 passw0rd p@ssw0rd p@ssword qwertyui qwertyuiop qwerty123 qwerty12 1q2w3e4r
1q2w3e4r5t 1qaz2wsx zaq12wsx q1w2e3r4 asdfghjk asdfghjkl asdf1234 abcd1234 abc12345 abcdefgh iloveyou sunshine princess
football baseball superman starwars michelle jennifer trustno1 whatever computer internet letmein1 welcome1 welcome123
admin123 admin1234 administrator changeme changeme1 default1 secret123 guest123 test1234 testtest trainyard trainyard1
nvidia123 tensorflow machinelearning deeplearning
"""
_NOBODY = _hasher.hash("the password of nobody")


def hash_password(password: str) -> str:
    with _turns:
        return _hasher.hash(_prepared(password))


def is_right(password_hash: str | None, password: str) -> bool:
    """Whether the password fits; takes as long where there is no hash (no such user) as where there is one."""
    with _turns:
        try:
            _hasher.verify(password_hash or _NOBODY, _prepared(password))
        except (VerificationError, InvalidHashError):
            return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Whether the hash was made with weaker figures than today's."""
    return _hasher.check_needs_rehash(password_hash)


def username_key(username: str) -> str:
    """What must be unique: full-width and half-width, capital and small letters are the same name."""
    return unicodedata.normalize("NFKC", _storable(username)).strip().casefold()


def username_fault(username: str) -> str | None:
    """What is wrong with a user name; None if nothing."""
    key = username_key(username)
    if not key:
        return "Expected a user name, found nothing."
    if max(len(username.strip()), len(key)) > MAX_USERNAME:
        return f"Expected at most {MAX_USERNAME} characters, found {len(username.strip())}."
    if _CONTROL.search(username):
        return "Expected a name on one line, found a line break or another control character."
    return None


def password_fault(password: str, username: str = "") -> str | None:
    """What is wrong with a new password; None if nothing. No rule about kinds of characters (NIST SP 800-63B)."""
    if len(password) < MIN_PASSWORD:
        return f"Expected at least {MIN_PASSWORD} characters, found {len(password)}."
    if len(password) > MAX_PASSWORD:
        return f"Expected at most {MAX_PASSWORD} characters, found {len(password):,}."
    plain = unicodedata.normalize("NFKC", password).casefold()
    if plain in _COMMON.split() or len(set(plain)) == 1:
        return "This password is among the first that people guess. Please take another."
    if plain == username_key(username):
        return "Expected a password that is not the user name."
    return None


def _prepared(password: str) -> str:
    """The same characters typed on another system are the same password (RFC 8265)."""
    return unicodedata.normalize("NFC", _storable(password))


def _storable(text: str) -> str:
    """Text that every database takes: no NUL, no lone surrogate."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
