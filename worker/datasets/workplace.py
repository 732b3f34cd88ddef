"""The folder in which a dataset is made: beside its final place, locked while in use, moved there when it is whole."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.datasets.errors import DatasetError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MANIFEST = "manifest.json"


@contextmanager
def workplace(out_dir: Path) -> Iterator[Path]:
    """A fresh folder whose content becomes `out_dir` when the block ends well, and is removed when it does not.

    What killed builds of the same dataset left behind is removed first.
    """
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(out_dir)
    folder = out_dir.with_name(f".{out_dir.name}.building-{uuid.uuid4().hex[:8]}")
    folder.mkdir()
    lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
        (folder / ".lock").unlink()
        _sync(folder)
        _move(folder, out_dir)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _no_room(out_dir) from error
        raise
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _no_room(out_dir: Path) -> DatasetError:
    free = shutil.disk_usage(out_dir.parent).free
    return DatasetError(
        f"There is no more room on the disk ({free / 1e9:.1f} GB were free after cleaning up what was half-made). "
        "Free some, or choose a smaller size, and make the dataset again."
    )


def _remove_abandoned(out_dir: Path) -> None:
    for folder in out_dir.parent.glob(f".{out_dir.name}.building-*"):
        try:
            lock = os.open(folder / ".lock", os.O_RDWR)
        except FileNotFoundError:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # another build is at work in it
        finally:
            os.close(lock)


def _sync(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _move(folder: Path, out_dir: Path) -> None:
    """Renames the folder; into one that is not empty, entry by entry, the manifest (the mark of a whole one) last."""
    try:
        folder.rename(out_dir)
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    (out_dir / MANIFEST).unlink(missing_ok=True)
    for path in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST):
        target = out_dir / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
    shutil.rmtree(out_dir / "cache", ignore_errors=True)
