"""A few pictures of an upload: spread, unlike each other, and bounded."""

from __future__ import annotations

import tarfile
from pathlib import Path

import py7zr
import pytest

from app.archives.kind import archive_kind
from app.uploads.pictures import MAX_BYTES_KEPT, some_pictures, unlike_pictures
from tests.worker.datasets.pictures import file_of, gradient, noise, zip_of

SIZES = [(40, 30), (40, 30), (30, 40), (200, 20), (40, 30), (10, 90), (41, 30), (40, 30)]


def files() -> dict[str, bytes]:
    return {f"{name}/{n}.png": file_of(gradient(*size)) for name in ("cats", "犬") for n, size in enumerate(SIZES)}


def packed(folder: Path, form: str, contents: dict[str, bytes]) -> Path:
    """The files as an archive of this form."""
    plain = zip_of(folder / "pets.zip", contents)
    if form == "zip":
        return plain
    if form == "7z":
        with py7zr.SevenZipFile(folder / "pets.7z", "w") as seven:
            for name, data in contents.items():
                seven.writestr(data, name)
        return folder / "pets.7z"
    for name, data in contents.items():
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    archive = folder / f"pets.{form}"
    with tarfile.open(archive, "w:gz" if form == "tar.gz" else "w") as tar:
        tar.add(folder / "files", ".")
    return archive


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz", "7z"])
def test_the_pictures_are_as_unlike_as_the_archive_has_them(form: str, tmp_path: Path) -> None:
    archive = packed(tmp_path, form, files())
    found = unlike_pictures(archive, archive_kind(archive, archive.name).value, form, 4)
    sizes = {picture.data: SIZES[int(Path(picture.path).stem)] for picture in found}
    assert {(200, 20), (10, 90), (30, 40)} < set(sizes.values())
    assert list(sizes.values()) == sorted(sizes.values(), key=lambda size: -size[0] / size[1])
    for picture in found:
        assert files()[picture.path] == picture.data


def test_pictures_of_one_shape_come_from_several_classes(tmp_path: Path) -> None:
    contents = {f"{k}/{n}.png": file_of(noise(100 * k + n)) for k in range(5) for n in range(20)}
    archive = zip_of(tmp_path / "a.zip", contents)
    assert {picture.path[0] for picture in unlike_pictures(archive, "zip", "one shape")} == set("01234")


def test_what_is_broken_or_too_large_to_keep_is_passed_over(tmp_path: Path) -> None:
    large = file_of(gradient(30, 40)) + bytes(MAX_BYTES_KEPT // 2 + 1)  # two of them are more than is kept
    contents = {"a/0.png": b"", "a/1.png": b"GIF89a?", "a/2.png": large, "a/3.png": large}
    contents["a/4.png"] = file_of(gradient())
    archive = zip_of(tmp_path / "a.zip", contents)
    found = unlike_pictures(archive, "zip", "broken")
    assert [picture.path for picture in found] == ["a/4.png", "a/2.png"]


def test_an_archive_that_is_gone_or_damaged_has_no_pictures(tmp_path: Path) -> None:
    assert unlike_pictures(tmp_path / "gone.zip", "zip", "gone") == ()
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(packed(tmp_path, "tar.gz", files()).read_bytes()[:60])
    assert unlike_pictures(cut, "tar.gz", "cut") == ()


def test_no_more_than_asked_for_are_read(tmp_path: Path) -> None:
    contents = {f"a/{n:03}.png": file_of(noise(n)) for n in range(100)}
    found = [picture.path for picture in some_pictures(zip_of(tmp_path / "a.zip", contents), "zip", 4)]
    assert found == ["a/000.png", "a/025.png", "a/050.png", "a/075.png"]
