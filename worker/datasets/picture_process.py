"""The process that decodes and encodes pictures: `python -m worker.datasets.picture_process PARENT_PID MODULE`.

It imports MODULE, if any, while its parent still finds out what there is to do.

Reads one pickled job and then tasks from stdin, and writes pickled replies to stdout; both come from its own parent
(`processes.py`) and nobody else. Its memory is limited, and it ends when its parent does.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import resource
import signal
import sys
import warnings
from importlib import import_module

_MEMORY_BYTES = 2 * 1024**3
_PR_SET_PDEATHSIG = 1


def main() -> None:
    _end_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a C library prints must not end up between the replies
    tasks = sys.stdin.buffer
    if sys.argv[2]:
        import_module(sys.argv[2])
    job = pickle.load(tasks)
    warnings.simplefilter("ignore")  # Pillow warns about odd metadata; what matters is raised
    while True:
        try:
            task = pickle.load(tasks)
        except EOFError:
            os._exit(0)  # everything is sent; taking the interpreter apart would keep the build waiting
        try:
            reply = job.run(task)
        except Exception as error:
            error.add_note("in the process that decodes pictures")
            reply = error
        try:
            pickle.dump(reply, replies, protocol=5)
            replies.flush()
        except BrokenPipeError:
            return


def _end_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(0)


if __name__ == "__main__":
    main()
