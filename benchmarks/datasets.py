"""How fast is a dataset made, beside what people would write? A Markdown table per source, and one of what was wanted.

    scripts/bench datasets [--only mnist,photos] [--count N] [--repeat 3] [--runs png]

Every run has a process of its own and takes turns with the others; the fastest of `--repeat` counts, and the largest
memory. The 12-megapixel pictures take one round only. The real pictures come from TRAINYARD_REAL_DATA, the photographs
are drawn once and kept.

The peers are one process each (the scheme of DIGITS has threads in it). Ours are measured three times: "one core" is a
build whose processes are all kept on one core; "1 process" has one process for pictures and one that writes beside it,
on all cores; "N processes" has as many for pictures as there are cores, and the one that writes.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.making.contestants import CORES, OPENCV, PILLOW, contestants, ours, ours_on_one_core
from benchmarks.making.measuring import Measured, measure
from benchmarks.making.sources import SOURCES, Source, source

MEMORY_MB = 500
Results = dict[str, list[Measured]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SOURCES), help=f"some of {', '.join(SOURCES)}")
    parser.add_argument("--count", type=int, default=60_000, help="at most this many pictures of each source")
    parser.add_argument("--repeat", type=int, default=2, help="rounds; the fastest counts")
    parser.add_argument("--runs", default="", help="only runs whose name holds this")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "trainyard-benchmark")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    print(f"{_processor()}, {CORES} cores, load {os.getloadavg()[0]:.1f} before\n")
    goals: list[Goal] = []
    for name in options.only.split(","):
        pictures = source(name, options.work, options.count)
        results = _results(pictures, options)
        _print_table(pictures, results)
        goals += _goals(pictures, results)
    _print_goals(goals)


def _results(pictures: Source, options: argparse.Namespace) -> Results:
    names = [name for name in contestants(pictures) if options.runs in name]
    results: Results = {name: [] for name in names}
    for _ in range(1 if pictures.is_slow else options.repeat):
        for name in names:
            results[name].append(measure(pictures.name, name, options.work, options.count))
    return results


def _print_table(pictures: Source, results: Results) -> None:
    count = pictures.count
    print(f"{count:,} {pictures.about} to {pictures.side}×{pictures.side} {pictures.channels.value}\n")
    print("| | pictures/s | CPU ms each | memory, MB | written, MB |\n|---|---|---|---|---|")
    for name, runs in results.items():
        best = min(runs, key=lambda run: run.seconds)
        cells = [f"{count / best.seconds:,.0f}", f"{min(run.cpu_s for run in runs) / count * 1e3:.3f}"]
        cells += [f"{_memory_mb(runs):.0f}", f"{best.written_bytes / 1e6:.1f}"]
        print(f"| {name} | {' | '.join(cells)} |")
    print(flush=True)


@dataclass(frozen=True)
class Goal:
    what: str
    wanted: float
    found: float
    in_cpu: float | None = None  # the same ratio in CPU time
    unit: str = "×"

    @property
    def is_met(self) -> bool:
        return self.found < self.wanted if self.unit == "MB" else self.found >= self.wanted


def _goals(pictures: Source, results: Results) -> list[Goal]:
    """What the runs that were made say about what was wanted of them."""
    wanted = [(ours("png", CORES), f"{PILLOW}, png", 4.0), (ours("png", CORES), f"{OPENCV}, png", 1.8)]
    if pictures.is_large:
        wanted += [(ours(encoding, CORES), f"{OPENCV}, {encoding}", 2.5) for encoding in ("raw", "jpeg")]
    for encoding in ("png", "raw", "jpeg") if CORES > 1 else ():
        wanted += [(ours(encoding, CORES), one, 1.8) for one in (ours_on_one_core(encoding), ours(encoding, 1))]
    goals = [
        Goal(f"{pictures.name}: {us} against {peer}", ratio, _ratio(results, us, peer), _cpu_ratio(results, us, peer))
        for us, peer, ratio in wanted
        if us in results and peer in results
    ]
    mine = [_memory_mb(runs) for name, runs in results.items() if name.startswith("ours")]
    return goals + [Goal(f"{pictures.name}: memory of all our processes", MEMORY_MB, max(mine), unit="MB")] * bool(mine)


def _ratio(results: Results, us: str, peer: str) -> float:
    return min(run.seconds for run in results[peer]) / min(run.seconds for run in results[us])


def _cpu_ratio(results: Results, us: str, peer: str) -> float:
    return min(run.cpu_s for run in results[peer]) / min(run.cpu_s for run in results[us])


def _memory_mb(runs: list[Measured]) -> float:
    return max(run.peak_bytes for run in runs) / 1e6


def _print_goals(goals: list[Goal]) -> None:
    print("| | wanted | found | in CPU time | |\n|---|---|---|---|---|")
    for goal in goals:
        if goal.unit == "MB":
            cells = f"< {goal.wanted:.0f} MB | {goal.found:.0f} MB | "
        else:
            cells = f"≥ {goal.wanted:.1f}× | {goal.found:.2f}× | {goal.in_cpu:.2f}×"
        print(f"| {goal.what} | {cells} | {'met' if goal.is_met else 'missed'} |")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
