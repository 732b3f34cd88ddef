"""Files of weights as the web process knows them: what a file is by its bytes, and a .safetensors by its header.

Nothing here loads weights, and nothing anywhere loads a pickle: reading one runs whatever its author put into it.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from safetensors import SafetensorError, safe_open

Shape = tuple[int, ...]
HEAD_BYTES = 512
TAIL_BYTES = 64 * 1024
LARGEST_HEADER = 10_000_000  # of a .safetensors: that of ResNet-152 has 60 kB
CAFFEMODEL_STARTS = (b"\x0a", b"\x12", b"\x1a", b"\x22", b"\xa2\x06")  # name, layers, input, input_dim, layer
CONVERT = """Convert it where you trust it, then send the .safetensors:
import torch; from safetensors.torch import save_file
save_file(torch.load("net.pth", map_location="cpu", weights_only=True), "net.safetensors")"""
PICKLE = (
    "This is a Python pickle (.pt, .pth, .pkl, .bin, .ckpt). "
    "Opening one runs any program that it holds, so it is refused."
)
TORCH_7 = "This is a file of Torch 7 (.t7). Convert it to .caffemodel or .safetensors."
ODD_FILES = (
    (b"\x89HDF\r\n\x1a\n", "This is an HDF5 file (.h5, .caffemodel.h5). Save the net as .caffemodel or .safetensors."),
    (b"\x04\x00\x00\x00\x01\x00\x00\x00", TORCH_7),
    (b"4\n1\n", TORCH_7),
    (b"\x1f\x8b", "This is compressed (gzip). Unpack it, then send the .caffemodel or .safetensors in it."),
    (b"version https://git-lfs", "This is a pointer of Git LFS, not the weights. Fetch the file itself: git lfs pull."),
    (b"\x08", "This looks like ONNX. Expected a .caffemodel or a .safetensors."),
)


class WeightsSource(StrEnum):
    """Where the weights of a pretrained net come from."""

    CAFFEMODEL = "caffemodel"
    SAFETENSORS = "safetensors"
    SNAPSHOT = "snapshot"


class WeightsError(Exception):
    """The file of weights cannot be read; the text says why."""


def weights_source(path: Path) -> WeightsSource:
    """What a file is, whatever it is called; raises WeightsError for all that is neither, saying what it is."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(max(0, size - 1))
        last = file.read(1)
    if not head:
        raise WeightsError("The file is empty (0 bytes).")
    if _is_pickle(path, head, last):
        raise WeightsError(f"{PICKLE}\n{CONVERT}")
    if _is_safetensors(head, size):
        return WeightsSource.SAFETENSORS
    if head.startswith(CAFFEMODEL_STARTS):
        return WeightsSource.CAFFEMODEL
    for start, message in ODD_FILES:
        if head.startswith(start):
            raise WeightsError(message)
    if head.lstrip()[:1] == b"<":
        raise WeightsError("This is a web page, not weights: the download of it must have failed.")
    if head.startswith(b"PK"):
        raise WeightsError("This is a zip archive. Send the .caffemodel or .safetensors in it.")
    raise WeightsError(f"Expected a .caffemodel or a .safetensors; found a file that begins with {head[:8]!r}.")


def weight_shapes(path: Path) -> dict[str, Shape]:
    """Weight → its shape, in the order of a .safetensors, from its header; raises WeightsError."""
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.offset_keys()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path.name} cannot be read: {error}") from error


def _is_pickle(path: Path, head: bytes, last: bytes) -> bool:
    """Of protocol 2 and later, of 0 and 1 (text), and in the archives that PyTorch puts them into."""
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return True
    if last == b"." and head[:1] in (b"(", b"c", b"]", b"}") and not _is_safetensors(head, path.stat().st_size):
        return True
    if head[257:262] == b"ustar":
        return True
    if not head.startswith(b"PK\x03\x04"):
        return False
    return b".pkl" in head or b".pkl" in _end_of(path)  # PyTorch puts data.pkl first; the list of names is at the end


def _end_of(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read()


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return 2 <= length <= min(LARGEST_HEADER, size - 8) and head[8:9] == b"{"
