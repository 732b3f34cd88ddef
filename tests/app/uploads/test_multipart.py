import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.uploads.multipart import Event, MultipartError, MultipartReader, PartBegins, PartData, PartEnds

BODY = (
    b'--XX\r\nContent-Disposition: form-data; name="name"\r\n\r\npets\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="file"; filename="\xe7\x8a\xac%22.zip"\r\n'
    b"Content-Type: application/zip\r\n\r\nPK\r\n--X\r\n-not-the-end\r\n--XX--\r\n"
)


def read(body: bytes, sizes: list[int]) -> tuple[list[Event], MultipartReader]:
    reader = MultipartReader("multipart/form-data; boundary=XX")
    events: list[Event] = []
    position = 0
    for size in [*sizes, len(body)]:
        events += reader.feed(body[position : position + size])
        position += size
    return events, reader


def parts(events: list[Event]) -> list[tuple[str, str | None, bytes]]:
    found: list[tuple[str, str | None, bytes]] = []
    for event in events:
        if isinstance(event, PartBegins):
            found.append((event.name, event.filename, b""))
        elif isinstance(event, PartData):
            name, filename, data = found[-1]
            found[-1] = (name, filename, data + event.data)
        else:
            assert isinstance(event, PartEnds)
    return found


@given(st.lists(st.integers(1, 40), max_size=20))
def test_wherever_the_body_is_cut_into_chunks_its_parts_are_the_same(sizes: list[int]) -> None:
    events, reader = read(BODY, sizes)
    assert parts(events) == [("name", None, b"pets"), ("file", '犬".zip', b"PK\r\n--X\r\n-not-the-end")]
    assert reader.is_complete


def test_a_body_that_ends_early_is_not_complete() -> None:
    _, reader = read(BODY[:-10], [])
    assert not reader.is_complete


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        f"multipart/form-data; boundary={'x' * 300}",
    ],
)
def test_without_a_boundary_there_are_no_parts(content_type: str) -> None:
    with pytest.raises(MultipartError):
        MultipartReader(content_type)


@pytest.mark.parametrize("body", [b"PK\x03\x04 something else entirely", b"--XX\r\n\r\nno header\r\n--XX--\r\n"])
def test_a_body_that_is_something_else_is_refused(body: bytes) -> None:
    with pytest.raises(MultipartError):
        read(body, [])
