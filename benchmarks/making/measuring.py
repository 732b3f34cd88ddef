"""One run in a process of its own: seconds, CPU seconds of all its processes, their memory together, what was written.

`python -m benchmarks.making.measuring SOURCE RUN FOLDER COUNT` is that process. Time is taken there, after the imports;
memory is looked at from outside.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.memory import family_of, watched

_LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Measured:
    seconds: float
    cpu_s: float
    peak_bytes: int
    written_bytes: int


def measure(source: str, run: str, folder: Path, count: int) -> Measured:
    place = folder / "run"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.making.measuring", source, run, str(folder), str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with watched(lambda: family_of(process.pid), _LOOK_EVERY_S) as peak:
        said = process.communicate()[0]
    if process.returncode != 0:
        raise RuntimeError(f"{run} on {source} ended with {process.returncode}")
    written = sum(path.stat().st_blocks * 512 for path in place.rglob("data.mdb"))
    shutil.rmtree(place)
    return Measured(*json.loads(said.splitlines()[-1]), peak.total_bytes, written)


def _main() -> None:
    from benchmarks.making.contestants import contestants
    from benchmarks.making.sources import source

    name, run, folder, count = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    pictures = source(name, folder, count)
    make = contestants(pictures)[run]
    cpu_s, started = _cpu_s(), time.perf_counter()
    make(pictures, folder / "run")
    print(json.dumps([time.perf_counter() - started, _cpu_s() - cpu_s]))


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    _main()
