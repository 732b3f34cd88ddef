"""The sample archive is an upload like any other."""

from __future__ import annotations

from pathlib import Path

from app.archives import inspect
from app.uploads.sample import SAMPLE_NAME, write_sample


def test_the_sample_holds_ten_classes_and_is_the_same_every_time(tmp_path: Path) -> None:
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    write_sample(first)
    write_sample(second)
    assert first.read_bytes() == second.read_bytes()
    contents = inspect(first, SAMPLE_NAME)
    assert [entry.name for entry in contents.classes] == [str(digit) for digit in range(10)]
    assert (contents.image_count, contents.skipped_count, contents.wrapper) == (1797, 0, "handwritten-digits")
