"""The wizard's first values."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.datasets.guessing import guess
from app.db import Database
from app.preprocessing import Channels
from app.storage import Storage
from tests import factories
from tests.app.built import upload_of
from tests.worker.datasets.pictures import file_of, gradient, noise, zip_of


def archive(path: Path, picture: bytes, other: bytes | None = None) -> Path:
    files = {f"{name}/{number}.png": picture for name in ("a", "b") for number in range(5)}
    return zip_of(path, files | ({"b/9.png": other} if other else {}))


@pytest.mark.parametrize(("picture", "channels", "width", "height"), [
    (file_of(noise(1, 28, 28, channels=1)), Channels.GRAY, 28, 28),
    (file_of(gradient(40, 30)), Channels.COLOR, 40, 30),
    (file_of(gradient(40, 30), "JPEG"), Channels.COLOR, 40, 30),
    (file_of(np.repeat(noise(1, 20, 20, channels=1)[:, :, None], 3, axis=2)), Channels.GRAY, 20, 20),
    (file_of(gradient(400, 300)), Channels.COLOR, 256, 256),
    (b"not a picture", Channels.COLOR, 256, 256),
])  # fmt: skip
def test_channels_and_size_are_those_of_the_pictures(
    database: Database, storage: Storage, tmp_path: Path, picture: bytes, channels: Channels, width: int, height: int
) -> None:
    upload = upload_of(database, storage, archive(tmp_path / "a.zip", picture))
    guessed = guess(storage, upload)
    assert (guessed.channels, guessed.width, guessed.height) == (channels, width, height)


def test_pictures_of_two_sizes_give_the_size_that_most_nets_take(
    database: Database, storage: Storage, tmp_path: Path
) -> None:
    upload = upload_of(
        database, storage, archive(tmp_path / "a.zip", file_of(gradient(40, 30)), file_of(gradient(30, 40)))
    )
    assert (guess(storage, upload).width, guess(storage, upload).height) == (256, 256)


def test_a_compressed_tar_is_looked_at_from_its_start(database: Database, storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
            data = file_of(Image.new("L", (12, 8)))
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    guessed = guess(storage, upload_of(database, storage, path))
    assert (guessed.channels, guessed.width, guessed.height) == (Channels.GRAY, 12, 8)


def test_a_file_that_is_gone_does_not_stop_the_wizard(database: Database, storage: Storage) -> None:
    upload = factories.upload(database, name="gone", sha256="f" * 64)
    assert guess(storage, upload).values() == {"channels": "color", "width": "256", "height": "256", "name": "gone"}
