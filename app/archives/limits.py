"""How much an archive may hold before it is refused, and why each figure is what it is."""

from __future__ import annotations

MIB = 1024 * 1024
GIB = 1024 * MIB

# ImageNet has 1.28 M pictures; the table of 2 M entries stays under 250 MB of memory.
MAX_ENTRIES = 2_000_000
# A central directory of 2 M entries with 80-character names.
MAX_DIRECTORY_BYTES = 256 * MIB
# Linux refuses longer paths; a longer name in an archive is an attack or damage.
MAX_NAME_BYTES = 4096
MAX_NAMES_BYTES = 256 * MIB
# ImageNet-21k has 21,841 classes.
MAX_FOLDERS = 200_000
MAX_CLASSES = 50_000
# One picture file is read whole into memory. The largest camera files are about 100 MB.
MAX_PICTURE_BYTES = 128 * MIB
# Deflate reaches 1,032:1 on zeros. Blank scans as BMP stay under 64 MiB, so small files may shrink as they like.
BOMB_ENTRY_RATIO = 200
BOMB_ENTRY_BYTES = 64 * MIB
# Line drawings as BMP shrink 20 to 50 times; whole archives of pictures 1 to 3 times.
BOMB_TOTAL_RATIO = 100
BOMB_TOTAL_BYTES = 1 * GIB
# tarfile reads extended headers whole; a real one is a few hundred bytes.
MAX_TAR_HEADER_BYTES = 1 * MIB
# xz -9 needs 65 MB; a larger dictionary is a memory bomb.
MAX_XZ_MEMORY = 256 * MIB
