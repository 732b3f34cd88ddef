import threading
from pathlib import Path

import pytest

from app.locks import locked


def test_a_file_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.touch()
    with locked(path), pytest.raises(BlockingIOError), locked(path):
        pass
    with locked(path) as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"


def test_who_waits_gets_it_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.touch()
    order = []

    def wait() -> None:
        with locked(path, wait=True):
            order.append("second")

    with locked(path):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path / "none"):
        pass
    assert list(tmp_path.iterdir()) == []
