"""A layered drawing of a directed graph: which row and which place in it every node gets, and where edges bend.

Sugiyama's method in its plainest form: rows by the longest path, edges over several rows through bends of their own,
few crossings by sorting rows after the mean place of their neighbours, then places pulled towards the neighbours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

MOST_BENDS = 20_000  # beyond, long edges are drawn straight
SWEEPS = 8
BEND_WIDTH = 14.0
GAP = 18.0


@dataclass
class Drawing:
    """Places of nodes and edges; x is the middle of a node, rows count from 0."""

    x: list[float]
    row: list[int]
    paths: list[list[tuple[float, int]]]  # per edge, (x, row) from node to node
    width: float = 0.0
    rows: int = 0


@dataclass
class _Rows:
    widths: list[float]  # nodes, then bends
    row: list[int]
    edges: list[tuple[int, int]] = field(default_factory=list)  # between neighbouring rows, or straight ones
    chains: list[list[int]] = field(default_factory=list)  # per given edge, its node, bends, node
    order: list[list[int]] = field(default_factory=list)
    x: list[float] = field(default_factory=list)


def draw(widths: Sequence[float], edges: Sequence[tuple[int, int]]) -> Drawing:
    """A drawing of nodes of these widths; every edge leads from an earlier node to a later one."""
    rows = _Rows(list(widths), _longest_paths(len(widths), edges))
    _add_bends(rows, edges)
    above, below = _neighbours(rows)
    rows.order = _first_order(rows)
    for sweep in range(SWEEPS):
        _sort(rows, above if sweep % 2 == 0 else below, downwards=sweep % 2 == 0)
    _place(rows, above, below)
    nodes = len(widths)
    left = min((rows.x[node] - rows.widths[node] / 2 for node in range(len(rows.x))), default=0.0)
    x = [place - left for place in rows.x]
    right = max((x[node] + rows.widths[node] / 2 for node in range(len(x))), default=0.0)
    paths = [[(x[node], rows.row[node]) for node in chain] for chain in rows.chains]
    return Drawing(x[:nodes], rows.row[:nodes], paths, right, len(rows.order))


def _longest_paths(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    row = [0] * count
    for start, end in sorted(edges):
        row[end] = max(row[end], row[start] + 1)
    return row


def _add_bends(rows: _Rows, edges: Sequence[tuple[int, int]]) -> None:
    bends = 0
    for start, end in edges:
        between = range(rows.row[start] + 1, rows.row[end])
        chain = [start]
        if bends + len(between) <= MOST_BENDS:
            bends += len(between)
            for row in between:
                chain.append(len(rows.widths))
                rows.widths.append(BEND_WIDTH)
                rows.row.append(row)
        chain.append(end)
        rows.chains.append(chain)
        rows.edges += pairwise(chain)


def _neighbours(rows: _Rows) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    above: dict[int, list[int]] = defaultdict(list)
    below: dict[int, list[int]] = defaultdict(list)
    for start, end in rows.edges:
        above[end].append(start)
        below[start].append(end)
    return above, below


def _first_order(rows: _Rows) -> list[list[int]]:
    order: list[list[int]] = [[] for _ in range(max(rows.row, default=-1) + 1)]
    for node, row in enumerate(rows.row):
        order[row].append(node)
    return order


def _sort(rows: _Rows, neighbours: dict[int, list[int]], *, downwards: bool) -> None:
    """Every row by the mean place of its neighbours in the row before."""
    place = {node: index for line in rows.order for index, node in enumerate(line)}
    for line in rows.order if downwards else reversed(rows.order):
        means = {
            node: sum(place[other] for other in neighbours[node]) / len(neighbours[node])
            if neighbours[node]
            else place[node]
            for node in line
        }
        line.sort(key=lambda node: (means[node], place[node]))
        place.update((node, index) for index, node in enumerate(line))


def _place(rows: _Rows, above: dict[int, list[int]], below: dict[int, list[int]]) -> None:
    rows.x = [0.0] * len(rows.widths)
    for line in rows.order:
        at = 0.0
        for node in line:
            rows.x[node] = at + rows.widths[node] / 2
            at += rows.widths[node] + GAP
        for node in line:
            rows.x[node] -= (at - GAP) / 2
    for sweep in range(SWEEPS):
        neighbours = above if sweep % 2 == 0 else below
        for line in rows.order if sweep % 2 == 0 else reversed(rows.order):
            _pull(rows, line, neighbours)


def _pull(rows: _Rows, line: list[int], neighbours: dict[int, list[int]]) -> None:
    """Move a row's nodes towards the middle of their neighbours as far as their order and widths allow."""
    wanted = [
        sum(rows.x[other] for other in neighbours[node]) / len(neighbours[node]) if neighbours[node] else rows.x[node]
        for node in line
    ]
    steps = [(rows.widths[a] + rows.widths[b]) / 2 + GAP for a, b in pairwise(line)]
    to_right, to_left = list(wanted), list(wanted)
    for index in range(1, len(line)):
        to_right[index] = max(wanted[index], to_right[index - 1] + steps[index - 1])
    for index in range(len(line) - 2, -1, -1):
        to_left[index] = min(wanted[index], to_left[index + 1] - steps[index])
    for node, one, other in zip(line, to_right, to_left, strict=True):
        rows.x[node] = (one + other) / 2
