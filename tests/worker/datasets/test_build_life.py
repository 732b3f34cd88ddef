"""What becomes of a build that is killed, meets a full disk, or is not alone; what is in a dataset is in test_build."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.disk import grow, small_disk
from tests.worker.datasets.pictures import two_classes
from tests.worker.datasets.test_build import as_tar, make, spec_of
from worker.datasets.build import DatasetError

ROOT = Path(__file__).resolve().parents[3]


def run_build(archive: Path, before: str = "", wait: bool = True) -> subprocess.Popen[str]:
    """A build in a process of its own; `before` runs first there."""
    script = f"""
        import sys
        from pathlib import Path
        from app.preprocessing import Channels
        from worker.datasets.build import BuildSpec, DatasetError, build
        {before}
        archive = Path({str(archive)!r})
        out, shape = archive.parent / "dataset", (Channels.COLOR, 64, 64)
        spec = BuildSpec(archive, archive.name, out, "pets", 70, 10, 20, *shape, processes=2)
        try:
            print(build(spec, lambda progress: print(progress, flush=True), lambda: False).content_hash)
        except DatasetError as error:
            print("DatasetError:", error)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    if wait:
        process.wait(60)
    return process


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_killed_build_leaves_no_process_and_starts_again_with_the_same_hash(tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip", per_class=1500)
    for _ in range(2):
        process = run_build(archive, wait=False)
        assert process.stdout is not None
        while "encoding" not in (line := process.stdout.readline()) or "done=0" in line:
            assert line, "the build ended before it could be killed"
        children = children_of(process.pid)
        assert len(children) == 2
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 5
        while any(
            Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes()
            for child in children
        ):
            assert time.monotonic() < deadline, "a process outlived its build"
            time.sleep(0.05)
        assert len(list(tmp_path.iterdir())) == 2  # the archive and what was half-made
    result = make(spec_of(archive, width=64, height=64, processes=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "pets.zip"]
    undisturbed = make(spec_of(archive, width=64, height=64, out_dir=tmp_path / "other", processes=1))
    assert result.content_hash == undisturbed.content_hash


@pytest.mark.parametrize("limit_bytes", [20_000, 1_000_000, 3_000_000])
def test_a_full_disk_is_told_and_everything_half_made_is_removed(limit_bytes: int, tmp_path: Path) -> None:
    archive = two_classes(tmp_path / "pets.zip", per_class=400)
    # A limit on the size of files fails in the same calls as a full disk, and needs no root.
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes}, {limit_bytes}))"
    process = run_build(archive, before=limit)
    assert process.stdout is not None
    assert "DatasetError: There is no more room on the disk" in process.stdout.read()
    assert [path.name for path in tmp_path.iterdir()] == ["pets.zip"]
    assert make(spec_of(archive, width=64, height=64)).skipped_count == 0


@pytest.mark.parametrize(("kind", "size_kb"), [("zip", 200), ("zip", 3000), ("tar.gz", 3000)])
def test_when_there_is_room_again_the_next_build_works(kind: str, size_kb: int, tmp_path: Path) -> None:
    """On a disk that is really full; a compressed tar fills it before the first picture is stored."""
    archive = two_classes(tmp_path / "pets.zip", per_class=200)
    if kind == "tar.gz":
        archive = as_tar(archive)
    with small_disk(tmp_path / "disk", size_kb) as disk:
        spec = spec_of(archive, out_dir=disk / "dataset", width=64, height=64)
        (disk / "mine").write_bytes(bytes(size_kb * 700))
        with pytest.raises(DatasetError, match="There is no more room on the disk"):
            make(spec)
        assert [path.name for path in disk.iterdir()] == ["mine"]
        grow(disk, 20_000)
        assert make(spec).skipped_count == 0


def test_another_live_build_of_the_same_dataset_is_left_alone(tmp_path: Path) -> None:
    import fcntl

    archive = two_classes(tmp_path / "pets.zip")
    abandoned, live = (tmp_path / f".dataset.building-{name}" for name in ("abandoned", "live"))
    for folder in (abandoned, live):
        folder.mkdir()
        (folder / ".lock").touch()
    with (live / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make(spec_of(archive))
        assert (abandoned.exists(), live.exists()) == (False, True)
