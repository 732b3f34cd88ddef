"""A process that makes datasets one after the other: a line of JSON in, one out. `python -m tests.zoo.builder`"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from app.preprocessing import Channels
from worker.datasets.build import BuildSpec, DatasetError, build


def main() -> None:
    for line in sys.stdin:
        archive, filename, percents = json.loads(line)
        print(json.dumps(_built(Path(archive), filename, percents)), flush=True)  # noqa: T201


def _built(archive: Path, filename: str, percents: list[float]) -> dict[str, Any]:
    """{"error"} or {"counts", "unreadable"}, and what lies beside the archive afterwards; the dataset is removed."""
    out = archive.with_name("dataset")
    spec = BuildSpec(archive, filename, out, "zoo", *percents, Channels.COLOR, 24, 24, processes=1)
    try:
        result = build(spec, lambda _: None, lambda: False)
    except DatasetError as error:
        return {"error": str(error), "left": [path.name for path in archive.parent.iterdir() if path != archive]}
    with (out / "skipped.csv").open(encoding="utf-8", newline="") as file:
        unreadable = dict(list(csv.reader(file))[1:])
    shutil.rmtree(out)
    counts = [sum(split.per_class[number] for split in result.splits.values()) for number in range(len(result.classes))]
    left = [path.name for path in archive.parent.iterdir() if path != archive]
    return {"counts": dict(zip(result.classes, counts, strict=True)), "unreadable": unreadable, "left": left}


if __name__ == "__main__":
    main()
