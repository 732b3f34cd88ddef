"""How the bytes of an entry are packed: zip's method numbers (APPNOTE 4.4.5), and three that zip does not use."""

from __future__ import annotations

STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14

LMDB_VALUE = 253  # the picture is the value of a key
FILE = 254  # the picture is a file of its own
STORED_RAW = 255  # the bytes lie at the offset as they are
