"""A million pictures through the real thing: upload, build, explorer; memory and times, each beside its limit.

    scripts/bench million [--count 1000000] [--side 16] [--work FOLDER]

The archive is a stored zip of drawn grey PNGs, written here byte by byte. A server is started, the archive is sent to
it as anybody would, the dataset is made by its worker, and pages of the explorer are asked for over HTTP.
"""

from __future__ import annotations

import argparse
import statistics
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.memory import Peak, family_of, watched
from tests.server import Api, Server, serving

CLASSES = 10
PAGE = 120
LIMIT_MB, LIMIT_MS = 500, 100
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_END = struct.Struct("<4s4H2LH")
_NOW = (0, 0x21)  # 1 January 1980


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "trainyard-million")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    archive = options.work / f"pictures-{options.count}.zip"
    if not archive.exists():
        started = time.monotonic()
        write_archive(archive, options.count, options.side)
        print(f"archive of {archive.stat().st_size / 1e6:,.0f} MB written in {time.monotonic() - started:.0f} s\n")
    with tempfile.TemporaryDirectory(dir=options.work) as folder, serving(Path(folder) / "home") as server:
        print(f"{options.count:,} pictures of {options.side}×{options.side}\n")
        print("| | | limit |\n|---|---|---|")
        measure(server, archive, options.side)


def write_archive(path: Path, count: int, side: int) -> None:
    """A zip64 of stored PNGs: smooth random pictures, every hundredth the same as the one before it."""
    random = np.random.default_rng(5)
    partial = path.with_suffix(".part")
    directory = bytearray()
    offset = 0
    with partial.open("wb", buffering=1 << 20) as file:
        for start in range(0, count, 10_000):
            for number, picture in enumerate(drawn(random, min(10_000, count - start), side), start=start):
                data = png(picture)
                name = b"class-%d/%07d.png" % (number % CLASSES, number)
                facts = (0, 0, *_NOW, zlib.crc32(data), len(data), len(data), len(name), 0)
                file.write(_LOCAL.pack(b"PK\x03\x04", 20, *facts) + name + data)
                directory += _CENTRAL.pack(b"PK\x01\x02", 20, 20, *facts, 0, 0, 0, 0, offset) + name
                offset += _LOCAL.size + len(name) + len(data)
        file.write(directory)
        end64 = offset + len(directory)
        file.write(_END64.pack(b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), offset))
        file.write(_LOCATOR64.pack(b"PK\x06\x07", 0, end64, 1))
        file.write(_END.pack(b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))
    partial.replace(path)


def drawn(random: np.random.Generator, count: int, side: int) -> np.ndarray:
    """(count, side, side) uint8"""
    coarse = random.standard_normal((count, 4, 4)).astype(np.float32)
    spread = np.maximum(0, 1 - np.abs(np.linspace(0, 3, side)[:, None] - np.arange(4))).astype(np.float32)
    pictures = (
        spread @ coarse @ spread.T * 60 + random.standard_normal((count, side, side)).astype(np.float32) * 8 + 128
    )
    pictures[1::100] = pictures[0::100][: len(pictures[1::100])]
    return pictures.clip(0, 255).astype(np.uint8)


def png(picture: np.ndarray) -> bytes:
    """An unfiltered, uncompressed PNG."""
    height, width = picture.shape
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = picture
    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 0)), (b"IEND", b""))
    )


def measure(server: Server, archive: Path, side: int) -> None:
    api = server.client()
    (web,) = server.living("app.serving", "web")
    idle_mb = _pss_mb(lambda: [process.pid for process in server.living()])
    row("the idle server, all its processes", f"{idle_mb:,.0f} MB", "")
    with watched(lambda: [web.pid], 0.1) as peak:
        started = time.monotonic()
        sent = api.upload(archive)
        upload = api.ended(f"uploads/{sent['id']}")
    row("upload and check", f"{time.monotonic() - started:,.0f} s", "")
    row("the web process meanwhile, at most", megabytes(peak), f"{LIMIT_MB} MB")

    (worker,) = server.living("worker.tasks", "data")
    with watched(lambda: family_of(worker.pid)[1:], 0.1) as build, watched(server_pids(server), 0.5) as everything:
        started = time.monotonic()
        dataset = api.made("datasets", json=form(upload["id"], side))
        dataset = api.ended(f"datasets/{dataset['id']}", patience_s=3_600)
    seconds = time.monotonic() - started
    counts = {name: split["count"] for name, split in dataset["splits"].items()}
    row("build", f"{seconds:,.0f} s, {sum(counts.values()) / seconds:,.0f} pictures/s", "")
    row("all processes of the build, at most", megabytes(build), f"{LIMIT_MB} MB")
    row("the same with web and idle workers", megabytes(everything), "")
    pages(api, server, dataset["id"], counts["train"])


def server_pids(server: Server) -> Callable[[], list[int]]:
    return lambda: [pid for process in server.processes for pid in family_of(process.pid)]


def form(upload_id: int, side: int) -> dict[str, object]:
    return {"name": "million", "upload_id": upload_id, "train_percent": 80, "val_percent": 10, "test_percent": 10,
            "channels": "gray", "width": side, "height": side, "resize_mode": "squash", "encoding": "png",
            "seed": 1}  # fmt: skip


def pages(api: Api, server: Server, dataset_id: int, count: int) -> None:
    address = f"{server.url}/datasets/{dataset_id}"
    last = count - count % PAGE - 1
    asked = {
        "first page of the explorer": f"{address}/images",
        f"page {last // PAGE + 1:,} of it": f"{address}/images?after={last}",
        "first page of one class": f"{address}/images?class=7",
        "last page of one class": f"{address}/images?class=7&after={last - PAGE * CLASSES}",
        "the dataset's own page": address,
        "its check-up": f"{address}/checkup",
    }
    for name, url in asked.items():
        first, *others = [_milliseconds(api, url) for _ in range(12)]
        limit = f"{LIMIT_MS} ms" if "page" in name else ""
        row(name, f"{statistics.median(others):.0f} ms (the first time {first:.0f} ms)", limit)


def _milliseconds(api: Api, url: str) -> float:
    started = time.perf_counter()
    answer = api.get(url)
    assert answer.status_code == 200, f"{url}: {answer.status_code}"
    return (time.perf_counter() - started) * 1e3


def _pss_mb(pids: Callable[[], list[int]]) -> float:
    with watched(pids) as peak:
        time.sleep(1)
    return peak.total_bytes / 1e6


def megabytes(peak: Peak) -> str:
    text = f"{peak.total_bytes / 1e6:,.0f} MB"
    if len(peak.parts_bytes) < 2:
        return text
    return f"{text} ({' + '.join(f'{size / 1e6:.0f}' for size in sorted(peak.parts_bytes, reverse=True))})"


def row(name: str, found: str, limit: str) -> None:
    print(f"| {name} | {found} | {limit} |", flush=True)


if __name__ == "__main__":
    main()
