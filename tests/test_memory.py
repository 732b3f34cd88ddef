"""The judge of memory is right where `ru_maxrss` is not: about a small process that a large one starts."""

from __future__ import annotations

import subprocess
import sys

from tests.memory import family_of, watched

LARGE_BYTES = 300 * 2**20
CHILD = """
import resource, subprocess, sys
taken = b"x" * int(sys.argv[1])
grandchild = subprocess.Popen([sys.executable, "-c", "taken = b'x' * (50 << 20); input()"], stdin=subprocess.PIPE)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
input()
grandchild.communicate(b"\\n")
"""


def test_what_the_parent_has_does_not_count_and_what_children_have_does() -> None:
    mine = b"x" * LARGE_BYTES
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(30 << 20)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with watched(lambda: family_of(process.pid)) as peak:
        said_bytes = int(process.stdout.readline())
        while peak.total_bytes < 80 << 20:
            assert process.poll() is None
        process.communicate("\n")
    assert said_bytes > len(mine)
    assert peak.most_processes == 2
    assert 80 << 20 < peak.total_bytes < 160 << 20
