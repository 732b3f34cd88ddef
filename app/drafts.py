"""Text files of a form that came back with a message: kept for a day, so that nobody has to choose them again.

Named by their SHA-256, which the form sends in their place.
"""

from __future__ import annotations

import hashlib
import os
import re
import time

from app.storage import Storage

KEPT_S = 86_400
_DIGEST = re.compile(r"[0-9a-f]{64}")


def keep_draft(storage: Storage, data: bytes) -> str:
    """The name of the draft."""
    digest = hashlib.sha256(data).hexdigest()
    storage.drafts.mkdir(parents=True, exist_ok=True)
    half = storage.drafts / f".{digest}.{os.getpid()}"
    half.write_bytes(data)
    half.replace(storage.drafts / digest)
    return digest


def read_draft(storage: Storage, digest: str) -> bytes | None:
    """None when it is gone, or never was."""
    if not _DIGEST.fullmatch(digest):
        return None
    try:
        return (storage.drafts / digest).read_bytes()
    except FileNotFoundError:
        return None


def forget_old_drafts(storage: Storage) -> None:
    for path in storage.drafts.glob("*"):
        if path.stat().st_mtime < time.time() - KEPT_S:
            path.unlink(missing_ok=True)
