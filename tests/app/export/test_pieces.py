from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.export.errors import ExportError
from app.export.pieces import PieceReader, Span, field, size_of, varint
from app.export.weights import stored_weights
from app.topology import caffe_pb2


def test_pieces_are_read_in_their_order_whatever_the_size_of_a_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    pieces = [b"ab", Span(tmp_path / "file", 3, 4), b"", Span(tmp_path / "file", 0, 0), b"c"]
    assert size_of(pieces) == 7
    for step in (1, 2, 3, 100):
        with PieceReader(pieces) as reader:
            found = b"".join(iter(lambda reader=reader, step=step: reader.read(step), b""))
        assert found == b"ab3456c"


def test_a_file_that_is_deleted_meanwhile_stays_readable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    with PieceReader([Span(tmp_path / "file", 3, 4)]) as reader:
        (tmp_path / "file").unlink()
        assert reader.read() == b"3456"


def test_a_file_that_has_become_shorter_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"01")
    with PieceReader([Span(tmp_path / "file", 0, 4)]) as reader, pytest.raises(OSError, match="shorter"):
        reader.read()


def test_fields_are_laid_out_as_protobuf_does() -> None:
    message = caffe_pb2.NetParameter(name="n" * 300)
    laid_out = b"".join(piece for piece in field(1, [b"n" * 300]) if isinstance(piece, bytes))
    assert laid_out == message.SerializeToString()
    assert [varint(number) for number in (0, 127, 128, 300)] == [b"\0", b"\x7f", b"\x80\1", b"\xac\2"]


def safetensors(path: Path, header: object, data: bytes = b"\0" * 8) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"a": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}}, r"a: expected float32 .* found F16"),
        ({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, "3 numbers do not fill bytes 0–8"),
        ({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, "damaged"),
        ({"a": {"dtype": "F32", "shape": [2]}}, "cannot be read"),
        ({"a": 5}, "cannot be read"),
        ([], "cannot be read"),
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, header: object, reason: str) -> None:
    with pytest.raises(ExportError, match=reason):
        stored_weights(safetensors(tmp_path / "weights.safetensors", header))


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be read"):
        stored_weights(tmp_path / "missing")
    (tmp_path / "text").write_text("these are no weights at all")
    with pytest.raises(ExportError, match="its header of"):
        stored_weights(tmp_path / "text")
