"""Redis goes away, forgets everything and comes back: jobs are in the database, so they are done all the same."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import machine
from tests.server import QUICK, Api, free_port, serving, wait_until


class OwnRedis:
    """A Redis of the test's own, which keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.program = shutil.which("redis-server") or machine.missing("Install Redis (apt install redis)")
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [self.program, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    redis = OwnRedis(tmp_path)
    redis.start()
    yield redis
    redis.kill()


def build(api: Api, upload_id: int, name: str) -> int:
    form = {"name": name, "upload_id": upload_id, "train_percent": 70, "val_percent": 10, "test_percent": 20,
            "channels": "gray", "width": 16, "height": 16, "resize_mode": "squash", "encoding": "png",
            "seed": 1}  # fmt: skip
    return int(api.made("datasets", json=form)["id"])


def test_jobs_are_done_though_redis_died_and_forgot_them(redis: OwnRedis, tmp_path: Path) -> None:
    with serving(tmp_path / "home", TRAINYARD_BROKER_URL=redis.url, **QUICK) as server:
        api = server.client()
        upload_id = api.made("uploads/sample")["id"]
        api.ended(f"datasets/{build(api, upload_id, 'before')}")

        redis.kill()
        while_away = build(api, upload_id, "while it was away")  # nobody is told, and nobody waits
        redis.start()

        api.ended(f"datasets/{while_away}")
        api.ended(f"datasets/{build(api, upload_id, 'after')}")
        wait_until(server.answers, "every lane to have its worker")
