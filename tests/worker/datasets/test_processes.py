"""Processes that do tasks in order, survive crashes and hangs, and end with their parent."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass

import pytest

from worker.datasets.processes import pool


@dataclass
class Doubling:
    """Doubles numbers; does odd things with some of them."""

    limit_s: float = 30

    def run(self, task: list[int]) -> list[int]:
        for number in task:
            if number == 13:
                os.kill(os.getpid(), signal.SIGSEGV)
            if number == 99:
                time.sleep(60)
            if number == -1:
                raise ValueError("negative")
            if number % 7 == 0:
                time.sleep(0.01)
        print("noise on stdout")  # noqa: T201
        return [2 * number for number in task]

    def divide(self, task: list[int]) -> list[list[int]]:
        return [task[: len(task) // 2], task[len(task) // 2 :]] if len(task) > 1 else [task]

    def merge(self, replies: list[list[int]]) -> list[int]:
        return [number for reply in replies for number in reply]

    def give_up(self, task: list[int], reason: str) -> list[int]:
        return [-len(reason)] * len(task)

    def time_limit_s(self, task: list[int]) -> float:
        return self.limit_s


def tasks(count: int, size: int = 5) -> list[list[int]]:
    return [list(range(start, start + size)) for start in range(100, 100 + count * size, size)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_replies_come_in_the_order_of_the_tasks(count: int) -> None:
    with pool(Doubling(), count) as replies:
        assert list(replies(tasks(40))) == [[2 * number for number in task] for task in tasks(40)]
        assert list(replies([])) == []


def test_a_crash_costs_only_the_culprit() -> None:
    with pool(Doubling(), 2) as replies:
        found = list(replies([[10, 11], [12, 13, 14, 15], [16]]))
    assert found == [[20, 22], [24, -len("crashes the decoder"), 28, 30], [32]]


def test_a_hanging_task_is_given_up() -> None:
    with pool(Doubling(limit_s=3), 1) as replies:
        assert list(replies([[98, 99], [100]])) == [[196, -len("takes longer than 3 s to decode")], [200]]


def test_an_error_of_our_own_is_raised_here() -> None:
    with pytest.raises(ValueError, match="negative"), pool(Doubling(), 2) as replies:
        list(replies([[1], [-1], [2]]))


def test_only_a_few_tasks_are_taken_ahead() -> None:
    taken: list[int] = []

    def endless() -> object:
        number = 100
        while True:
            taken.append(number)
            yield [number]
            number += 1

    with pool(Doubling(), 2) as replies:
        answers = replies(endless())
        for _ in range(3):
            next(answers)
        assert len(taken) <= 10


def test_it_works_in_a_thread_beside_others() -> None:
    found: list[list[list[int]]] = []

    def work() -> None:
        with pool(Doubling(), 1) as replies:
            found.append(list(replies(tasks(5))))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[[2 * number for number in task] for task in tasks(5)]] * 3
