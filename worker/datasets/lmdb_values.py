"""The pictures of an existing Caffe LMDB as image files. Finding them is in `lmdb_source.py`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from app.archives.entries import DamagedEntry


def read_value(lmdb_dir: Path, key: bytes) -> bytes:
    """The picture under `key` as an image file; raw pixels as PPM or PGM. Raises DamagedEntry."""
    from google.protobuf.message import (
        DecodeError,
    )  # most builds read no LMDB, and their processes start faster without

    from app.topology import caffe_pb2

    with open_source(lmdb_dir).begin() as transaction:
        value = transaction.get(key)
    try:
        datum = caffe_pb2.Datum.FromString(value)
    except (DecodeError, TypeError):
        raise DamagedEntry("not a Caffe Datum") from None
    if datum.encoded:
        return bytes(datum.data)
    shape = (datum.channels, datum.height, datum.width)
    if datum.channels not in (1, 3) or len(datum.data) != datum.channels * datum.height * datum.width:
        raise DamagedEntry(f"raw pixels of an unsupported form ({datum.channels} channels, {len(datum.data)} bytes)")
    pixels = np.frombuffer(datum.data, np.uint8).reshape(shape)[::-1].transpose(1, 2, 0)  # BGR to RGB
    return b"P%d %d %d 255\n" % (5 if datum.channels == 1 else 6, datum.width, datum.height) + pixels.tobytes()


@lru_cache(maxsize=4)
def open_source(lmdb_dir: Path) -> Any:
    return lmdb.open(str(lmdb_dir), readonly=True, lock=False, readahead=False)
