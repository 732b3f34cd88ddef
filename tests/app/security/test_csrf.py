from collections.abc import Iterator

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from app.security import csrf

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=XX"


def part(name: str, value: bytes, filename: str = "") -> bytes:
    told = f'; filename="{filename}"' if filename else ""
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{told}\r\n\r\n'.encode() + value + b"\r\n"


class Client:
    """Sends a body in chunks and counts how many were taken."""

    def __init__(self, chunks: list[bytes], *, then_leaves: bool = False) -> None:
        self.messages: Iterator[Message] = iter(
            {"type": "http.request", "body": chunk, "more_body": number < len(chunks) - 1 or then_leaves}
            for number, chunk in enumerate(chunks)
        )
        self.taken = 0

    async def __call__(self) -> Message:
        self.taken += 1
        return next(self.messages, {"type": "http.disconnect"})


def request(client: Client, content_type: str, header: str = "") -> Request:
    headers = [(b"content-type", content_type.encode())] + ([(b"x-csrf-token", header.encode())] if header else [])
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, client)


async def body_of(found: csrf.Found) -> bytes:
    body, more = b"", True
    while more:
        message = await found.receive()
        body += message["body"]
        more = message["more_body"]
    return body


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


async def test_a_header_is_enough_and_the_body_is_left_alone() -> None:
    client = Client([b"a" * 1000])
    found = await csrf.find_token(request(client, "application/offset+octet-stream", "the-token"))
    assert found.token == "the-token"
    assert client.taken == 0


async def test_a_form_gives_its_token_and_is_read_again_whole() -> None:
    chunks = [b"name=%E7%8A%AC&csrf_to", b"ken=a%2Bb", b"&other=1"]
    found = await csrf.find_token(request(Client(chunks), FORM + "; charset=utf-8"))
    assert found.token == "a+b"
    assert await body_of(found) == b"".join(chunks)


async def test_a_field_whose_name_only_ends_alike_is_not_the_token() -> None:
    found = await csrf.find_token(request(Client([b"not_csrf_token=x&y=csrf_token=z"]), FORM))
    assert found.token == ""


async def test_a_form_without_end_is_refused() -> None:
    client = Client([b"a" * 2**20] * 20)
    with pytest.raises(csrf.FormTooLarge):
        await csrf.find_token(request(client, FORM))
    assert client.taken <= 9


async def test_a_multipart_form_is_read_no_further_than_its_first_field() -> None:
    chunks = [
        part("csrf_token", b"the-token"),
        part("file", b"x" * 65536, "a.zip"),
        *[b"y" * 65536] * 50,
        b"\r\n--XX--\r\n",
    ]
    client = Client(chunks)
    found = await csrf.find_token(request(client, MULTIPART))
    assert found.token == "the-token"
    assert client.taken <= 2
    assert await body_of(found) == b"".join(chunks)


async def test_a_token_after_the_file_does_not_count() -> None:
    chunks = [part("file", b"x", "a.zip") + part("csrf_token", b"the-token") + b"--XX--\r\n"]
    found = await csrf.find_token(request(Client(chunks), MULTIPART))
    assert found.token == ""
    assert await body_of(found) == b"".join(chunks)


async def test_a_file_called_like_the_token_does_not_count() -> None:
    found = await csrf.find_token(
        request(Client([part("csrf_token", b"the-token", "a.txt") + b"--XX--\r\n"]), MULTIPART)
    )
    assert found.token == ""


async def test_a_first_field_without_end_is_read_no_further_than_64_kib() -> None:
    client = Client([part("csrf_token", b"x" * 10_000)[:-2]] + [b"x" * 10_000] * 100)
    found = await csrf.find_token(request(client, MULTIPART))
    assert found.token == ""
    assert client.taken < 10


@pytest.mark.parametrize("content_type", ["application/json", "", "multipart/form-data", "text/plain"])
async def test_other_bodies_have_no_token(content_type: str) -> None:
    client = Client([b'{"csrf_token": "the-token"}'])
    assert (await csrf.find_token(request(client, content_type))).token == ""


async def test_a_client_that_leaves_is_noticed() -> None:
    with pytest.raises(ClientDisconnect):
        await csrf.find_token(request(Client([b"csrf_tok"], then_leaves=True), FORM))
