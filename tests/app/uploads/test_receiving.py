"""Bytes on their way to the disk: cut lines, silence, a full disk, memory. The protocol itself is tested in `api/`."""

import asyncio
import hashlib
import http.client
import io
import json
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request

from app.db import Database
from app.settings import Settings
from app.storage import Storage
from app.uploads.receiving import PIECE_BYTES, LineCut, Sink, append, chunks
from app.web import ApiError
from tests import factories
from tests.app.live_server import Server, serving
from tests.app.zips import zip_of

TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def nothing(_: int) -> None:
    return None


async def stream_of(*parts: bytes | Exception) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


@pytest.mark.anyio
async def test_every_byte_is_written_once_and_in_order(tmp_path: Path) -> None:
    data = os.urandom(3 * PIECE_BYTES + 17)
    with io.FileIO(tmp_path / "archive", "w") as file:
        sink = Sink(file)
        await append(stream_of(*(data[i : i + 60_000] for i in range(0, len(data), 60_000))), sink, len(data), nothing)
        assert sink.written == sink.size == len(data)
    assert (tmp_path / "archive").read_bytes() == data


@pytest.mark.anyio
@pytest.mark.parametrize("end", [LineCut(), RuntimeError("a fault")])
async def test_what_had_arrived_when_the_line_was_cut_is_on_disk(tmp_path: Path, end: Exception) -> None:
    with io.FileIO(tmp_path / "archive", "w") as file:
        with pytest.raises(type(end)):
            await append(stream_of(b"abc", b"def", end), Sink(file), 100, nothing)
        assert (tmp_path / "archive").read_bytes() == b"abcdef"


@pytest.mark.anyio
async def test_what_had_arrived_when_the_server_stops_is_on_disk(tmp_path: Path) -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield b"abc"
        await asyncio.sleep(60)

    with io.FileIO(tmp_path / "archive", "w") as file:
        task = asyncio.create_task(append(stalled(), Sink(file), 100, nothing))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (tmp_path / "archive").read_bytes() == b"abc"


@pytest.mark.anyio
async def test_bytes_beyond_the_announced_length_are_not_written(tmp_path: Path) -> None:
    with io.FileIO(tmp_path / "archive", "w") as file, pytest.raises(ApiError) as refused:
        await append(stream_of(b"abc", b"def"), Sink(file), 5, nothing)
    assert refused.value.status_code == 413
    assert (tmp_path / "archive").read_bytes() == b"abc"


@pytest.mark.anyio
async def test_silence_is_a_cut_line() -> None:
    async def receive() -> Any:
        await asyncio.sleep(60)

    request = Request({"type": "http", "method": "PATCH", "path": "/", "headers": []}, receive)
    with pytest.raises(LineCut):
        async for _ in chunks(request, silence_s=0.05):
            pass


def test_a_full_disk_is_said_plainly() -> None:
    with io.FileIO("/dev/full", "w") as file:
        sink = Sink(file)
        asyncio.run(sink.put(b"x"))
        with pytest.raises(ApiError) as refused:
            sink.flush()
    assert refused.value.status_code == 507
    assert "full" in refused.value.message


def test_a_disk_that_fills_up_while_receiving_is_answered_and_can_go_on_later(
    api: TestClient, storage: Storage
) -> None:
    place = api.post("/uploads/tus", headers=TUS | {"Upload-Length": "6"}).headers["location"]
    archive = storage.upload_file(1)
    archive.unlink()
    archive.symlink_to("/dev/full")
    headers = TUS | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    answer = api.patch(place, content=b"abcdef", headers=headers)
    assert answer.status_code == 507
    assert answer.json()["error"]["code"] == "disk_full"
    archive.unlink()
    archive.touch()
    assert api.patch(place, content=b"abcdef", headers=headers).status_code == 204


# -- against a server of its own ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Home:
    """A home with a user, whose token it is."""

    path: Path
    token: str


def new_home(path: Path, migrated_file: Path) -> Home:
    path.mkdir()
    shutil.copy(migrated_file, path / "trainyard.sqlite3")
    database = Database.open(Settings(home=path))
    token = factories.api_token(database, factories.user(database))
    database.close()
    return Home(path, token)


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Iterator["Sender"]:
    """One server for the tests that leave it running."""
    home = new_home(tmp_path_factory.mktemp("live") / "home", migrated_file)
    with serving(home.path) as server:
        yield Sender(server, home.token)


class Sender:
    """A tus client whose line can be cut in the middle of a piece."""

    def __init__(self, server: Server, token: str) -> None:
        self.server, self.port = server, server.port
        self.headers = TUS | {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, headers=self.headers | headers)
        answer = connection.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
        return answer

    def create(self, size: int) -> str:
        return str(self.ask("POST", "/uploads/tus", **{"Upload-Length": str(size)}).headers["location"])

    def offset(self, place: str) -> int:
        return int(str(self.ask("HEAD", place).headers["upload-offset"]))

    def open_piece(self, place: str, offset: int, size: int) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.putrequest("PATCH", place)
        told = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
        for name, value in (self.headers | told | {"Content-Length": str(size)}).items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection

    def cut_piece(self, place: str, offset: int, data: bytes, after: int) -> None:
        """Announces all of `data`, sends `after` bytes of it and hangs up."""
        connection = self.open_piece(place, offset, len(data))
        connection.send(data[:after])
        assert isinstance(connection.sock, socket.socket)
        connection.sock.shutdown(socket.SHUT_WR)
        connection.close()

    def wait_for(self, filename: str, *statuses: str) -> dict[str, Any]:
        """The newest upload, once it is this file in one of these states."""
        for _ in range(600):
            items = json.loads(self.ask("GET", "/api/v1/uploads").body)["items"]  # type: ignore[attr-defined]
            if items and items[0]["filename"] == filename and items[0]["status"] in statuses:
                return dict(items[0])
            time.sleep(0.05)
        raise AssertionError(f"{filename} did not become {' or '.join(statuses)}: {items[:1]}")


def test_a_file_over_a_line_that_is_cut_twenty_times_arrives_whole(sender: "Sender") -> None:
    data = zip_of({"犬": 3, "猫": 2}, stuffing=os.urandom(12_000_000))
    place = sender.create(len(data))
    cuts = 0
    while cuts < 20:
        offset = sender.offset(place)
        sender.cut_piece(place, offset, data[offset:], 500_000 + cuts * 1_111)
        cuts += 1
        deadline = time.monotonic() + 10
        while sender.offset(place) == offset and time.monotonic() < deadline:
            time.sleep(0.01)
    offset = sender.offset(place)
    assert 0 < offset < len(data)
    while offset < len(data):
        connection = sender.open_piece(place, offset, len(data) - offset)
        connection.send(data[offset:])
        if connection.getresponse().status in (409, 423):  # the end of the piece that was cut last
            time.sleep(0.1)
        offset = sender.offset(place)
    found = sender.wait_for("archive", "done")
    assert found["sha256"] == hashlib.sha256(data).hexdigest()


def test_two_tabs_never_mix_their_bytes(sender: "Sender") -> None:
    place = sender.create(2_000_000)
    first = sender.open_piece(place, 0, 1_000_000)
    first.send(b"1" * 500_000)
    time.sleep(0.3)
    second = sender.open_piece(place, 0, 1_000_000)
    second.send(b"2" * 1_000_000)
    assert second.getresponse().status == 423
    first.send(b"1" * 500_000)
    assert first.getresponse().status == 204
    assert sender.offset(place) == 1_000_000


def test_after_a_killed_server_the_upload_goes_on_where_it_was(tmp_path: Path, migrated_file: Path) -> None:
    home = new_home(tmp_path / "home", migrated_file)
    data = zip_of({"a": 2, "b": 2}, stuffing=os.urandom(5_000_000))
    with serving(home.path) as server:
        sender = Sender(server, home.token)
        place = sender.create(len(data))
        connection = sender.open_piece(place, 0, len(data))
        connection.send(data[:3_000_000])
        deadline = time.monotonic() + 10
        while sender.offset(place) < 2_000_000 and time.monotonic() < deadline:
            time.sleep(0.02)
        server.kill()
    with serving(home.path) as server:
        sender = Sender(server, home.token)
        offset = sender.offset(place)
        assert 2_000_000 <= offset < len(data)
        connection = sender.open_piece(place, offset, len(data) - offset)
        connection.send(data[offset:])
        assert connection.getresponse().status == 204
        found = sender.wait_for("archive", "done")
    assert found["sha256"] == hashlib.sha256(data).hexdigest()


SIZE = 300 * 2**20


def pieces_of(size: int) -> Iterator[bytes]:
    block = os.urandom(2**20)
    for _ in range(size // len(block)):
        yield block


def test_a_large_piece_takes_no_memory(sender: "Sender") -> None:
    place = sender.create(SIZE)
    sender.offset(place)
    before, most = sender.server.memory_bytes, 0
    connection = sender.open_piece(place, 0, SIZE)
    for number, block in enumerate(pieces_of(SIZE)):
        connection.send(block)
        if number % 20 == 0:
            most = max(most, sender.server.memory_bytes)
    assert connection.getresponse().status == 204
    sender.wait_for("archive", "failed")
    assert max(most, sender.server.memory_bytes) - before < 60 * 2**20


def test_a_form_whose_line_is_cut_fails_and_leaves_no_file(sender: "Sender") -> None:
    with socket.create_connection(("127.0.0.1", sender.port)) as line:
        headers = sender.headers | {"Content-Type": "multipart/form-data; boundary=XX", "Content-Length": "1000000"}
        told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        line.sendall(f"POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\n{told}\r\n".encode())
        line.sendall(b'--XX\r\nContent-Disposition: form-data; name="file"; filename="cut.zip"\r\n\r\n' + b"x" * 50_000)
        sender.wait_for("cut.zip", "running")
    found = sender.wait_for("cut.zip", "failed")
    assert found["error"] == "The line was cut before the whole file had arrived."
    assert not (sender.server.home / "uploads" / str(found["id"])).exists()


def test_a_large_form_takes_no_memory(sender: "Sender") -> None:
    head = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n'
    tail = b"\r\n--XX--\r\n"
    sender.ask("GET", "/api/v1/uploads")
    before, most = sender.server.memory_bytes, 0
    connection = http.client.HTTPConnection("127.0.0.1", sender.port, timeout=120)
    connection.putrequest("POST", "/api/v1/uploads")
    told = {"Content-Type": "multipart/form-data; boundary=XX", "Content-Length": str(SIZE + len(head) + len(tail))}
    for name, value in (sender.headers | told).items():
        connection.putheader(name, value)
    connection.endheaders(head)
    for number, block in enumerate(pieces_of(SIZE)):
        connection.send(block)
        if number % 20 == 0:
            most = max(most, sender.server.memory_bytes)
    connection.send(tail)
    answer = connection.getresponse()
    assert answer.status == 422  # random bytes are no archive, but all of them were taken
    assert sender.wait_for("a.zip", "failed")["size_bytes"] == SIZE
    assert max(most, sender.server.memory_bytes) - before < 60 * 2**20
