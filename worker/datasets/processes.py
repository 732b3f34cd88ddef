"""Runs tasks in processes of their own and gives the replies back in order.

Plain subprocesses with pipes: safe inside a process that has threads, and each ends when its parent does. A task whose
process crashes or hangs is divided until the culprit is alone, and that one is given up; the rest goes on.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import select
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO, Generic, Protocol, TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")
_ROOT = Path(__file__).resolve().parents[2]
PYTHON_PATH = str(_ROOT)
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # glibc gives each large block back to the system at once and fetches it anew for the next picture; keeping up to
    # 128 MB saves a quarter of the time on photographs.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
_TASKS_AHEAD = 3  # per process, so that none waits for the writer
_PIPE_BYTES = 1024 * 1024  # Linux allows it to everybody; a reply goes through in a sixteenth of the switches
_SET_PIPE_SIZE = getattr(fcntl, "F_SETPIPE_SZ", None)


class Job(Protocol[T, R]):
    """What the processes do; it is pickled to them once. Only `run` is called there."""

    def run(self, task: T) -> R: ...
    def divide(self, task: T) -> list[T]:
        """Smaller tasks, or the task alone when it cannot be divided."""

    def merge(self, replies: list[R]) -> R: ...
    def give_up(self, task: T, reason: str) -> R: ...
    def time_limit_s(self, task: T) -> float: ...


class _Died(Exception):
    pass


class _Process:
    """One process and its two pipes; started again after it died."""

    def __init__(self, preparation: str = "") -> None:
        self._preparation = preparation
        self._job = b""
        self._start()

    def give(self, job: bytes) -> None:
        """What it will do, pickled; it has begun to start up before."""
        self._job = job
        self._send_job()

    def call(self, task: object, time_limit_s: float) -> object:
        try:
            pickle.dump(task, self._stdin, protocol=5)
            self._stdin.flush()
            if not select.select([self._stdout], [], [], time_limit_s)[0]:
                raise _Died(f"takes longer than {time_limit_s:.0f} s to decode")
            reply = pickle.load(self._stdout)
        except (BrokenPipeError, EOFError, pickle.UnpicklingError, _Died) as error:
            self.end(kill=True)
            self._start()
            if isinstance(error, _Died):
                raise
            raise _Died("crashes the decoder") from None
        if isinstance(reply, BaseException):
            raise reply
        return reply

    def end(self, kill: bool = False) -> None:
        if kill:
            self._process.kill()
        for pipe in (self._stdin, self._stdout):
            with suppress(OSError):
                pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "worker.datasets.picture_process", str(os.getpid()), self._preparation],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env=os.environ | _ENVIRONMENT | {"PYTHONPATH": PYTHON_PATH},
        )
        self._stdin = cast(BinaryIO, self._process.stdin)
        self._stdout = cast(BinaryIO, self._process.stdout)
        if _SET_PIPE_SIZE is not None:
            with suppress(OSError):  # somebody has used up what a user may have in pipes
                fcntl.fcntl(self._stdout, _SET_PIPE_SIZE, _PIPE_BYTES)
        self._send_job()

    def _send_job(self) -> None:
        with suppress(BrokenPipeError):  # the next call says so
            self._stdin.write(self._job)
            self._stdin.flush()


class Processes:
    """Processes that start up, and import the module `preparation`, before anybody knows their job.

    Those that nobody took end with the block.
    """

    def __init__(self, count: int, preparation: str = "") -> None:
        self._free = [_Process(preparation) for _ in range(count)]

    def take(self) -> list[_Process]:
        taken, self._free = self._free, []
        return taken

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.take():
            process.end(kill=True)


class Pool(Generic[T, R]):
    """Processes doing one job."""

    def __init__(self, job: Job[T, R], processes: list[_Process]) -> None:
        self._job = job
        self._processes, self._count = processes, len(processes)
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        pickled = pickle.dumps(job, protocol=5)
        for process in processes:
            process.give(pickled)
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="pictures")

    def replies(self, tasks: Iterable[T]) -> Iterator[R]:
        """The reply of each task, in the order of the tasks; only a few tasks are taken ahead."""
        waiting: deque[Future[R]] = deque()
        for task in tasks:
            waiting.append(self._threads.submit(self._reply, task))
            if len(waiting) >= self._count * _TASKS_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def close(self, kill: bool) -> None:
        if kill:
            for process in self._processes:
                process._process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in self._processes:
            process.end(kill)

    def _reply(self, task: T) -> R:
        process = self._idle.get()
        try:
            return self._reply_of(process, task)
        finally:
            self._idle.put(process)

    def _reply_of(self, process: _Process, task: T) -> R:
        try:
            return cast(R, process.call(task, self._job.time_limit_s(task)))
        except _Died as death:
            smaller = self._job.divide(task)
            if len(smaller) < 2:
                return self._job.give_up(task, str(death))
            return self._job.merge([self._reply_of(process, part) for part in smaller])


@contextmanager
def pool(job: Job[T, R], started: Processes | int) -> Iterator[Callable[[Iterable[T]], Iterator[R]]]:
    """A function that sends tasks through processes, so many or those already started; they end on the way out."""
    processes: Pool[T, R] = Pool(job, (Processes(started) if isinstance(started, int) else started).take())
    finished = False
    try:
        yield processes.replies
        finished = True
    finally:
        processes.close(kill=not finished)
