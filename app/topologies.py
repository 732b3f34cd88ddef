"""What pages and API do with topologies alike: the zoo's and the custom ones in one list, made, checked, deleted.

What a prototxt means is `app/topology`'s; here it is only kept.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db import Database, Topology, User
from app.invalid import InvalidFields
from app.schemas.topologies import MAX_SIDE, CheckReport, InputShape, NewTopology
from app.topology.check import check
from app.topology.diagram import diagram_svg
from app.topology.difference import LayerChange, compare
from app.topology.errors import Issue
from app.topology.text import read_leniently
from app.topology.zoo import ZooEntry, zoo
from app.web import PageNotFound, require_owner

IMAGE_SIZE = re.compile(r"(?P<width>[1-9][0-9]{0,5}) × (?P<height>[1-9][0-9]{0,5}) \((?P<channels>gray|color)\)")

MOST_CHANGED_LINES = 5_000


class InvalidTopology(InvalidFields):
    """It cannot be saved; one message per field. `is_taken`: only because of its name."""

    def __init__(self, fields: Mapping[str, str], *, is_taken: bool = False) -> None:
        self.is_taken = is_taken
        super().__init__(fields)


@dataclass(frozen=True)
class Found:
    """A topology of the zoo or a custom one, in the same words. `key` is what addresses and forms call it."""

    key: str
    name: str
    prototxt: str
    original: str
    image_size: str
    title: str = ""
    note: str = ""
    parameters: str = ""  # as published, for the zoo
    is_custom: bool = False
    owner_id: int | None = None
    owner: str | None = None
    created_at: datetime | None = None

    @property
    def input_shape(self) -> InputShape:
        """What it was made for, as first values of a check."""
        size = IMAGE_SIZE.fullmatch(self.image_size)
        if size is None:
            return InputShape()
        width, height = (min(int(side), MAX_SIDE) for side in size.group("width", "height"))
        return InputShape(channels=1 if size["channels"] == "gray" else 3, width=width, height=height)


def zoo_topologies() -> list[Found]:
    return [_of_zoo(entry) for entry in zoo()]


def custom_topologies(
    session: Session, text: str = "", after: str = "", limit: int = 100
) -> tuple[list[Found], str | None]:
    """The newest first, and what to ask for next."""
    statement = select(Topology).order_by(Topology.id.desc()).limit(limit + 1)
    if text:
        statement = statement.where(Topology.name.icontains(text, autoescape=True))
    anchor = _row_id(after)
    if anchor is not None:
        statement = statement.where(Topology.id < anchor)
    rows = list(session.scalars(statement))
    page = rows[:limit]
    return [_of_row(row) for row in page], str(page[-1].id) if len(rows) > limit else None


def find_topology(session: Session, key: str) -> Found:
    """By the zoo's id or name, the number of a custom one, or its name; raises PageNotFound."""
    for entry in zoo():
        if key in (entry.id, entry.name):
            return _of_zoo(entry)
    number = _row_id(key)
    row = session.get(Topology, number) if number is not None else None
    if row is None and key:
        row = session.scalars(select(Topology).where(Topology.name == key)).first()
    if row is None:
        raise PageNotFound("topology")
    return _of_row(row)


def create_topology(database: Database, user: User, form: NewTopology) -> int:
    """The id of the new topology; raises InvalidTopology when its name is taken or its prototxt has errors."""
    _refuse(form)
    message = f"There is already a topology “{form.name}”. Choose another name."
    taken = InvalidTopology({"name": message}, is_taken=True)
    try:
        with database.write() as session:
            original = _original_of(session, form)
            if session.scalar(select(Topology.id).where(Topology.name == form.name)) is not None:
                raise taken
            row = Topology(
                user_id=user.id,
                name=form.name,
                original=original.name if original else form.original.strip(),
                image_size=form.image_size or (original.image_size if original else ""),
                prototxt=form.prototxt,
            )
            session.add(row)
            session.flush()
            return row.id
    except IntegrityError as error:  # PostgreSQL: somebody else was faster
        raise taken from error


def delete_topology(database: Database, user: User, topology_id: int) -> None:
    """Models keep their own copy of the prototxt, so nothing else needs it."""
    with database.write() as session:
        row = session.get(Topology, topology_id)
        if row is None:
            raise PageNotFound("topology")
        require_owner(user, row.user_id)
        session.delete(row)


def check_text(prototxt: str, shape: InputShape) -> CheckReport:
    """What a prototxt holds for an input of this shape: layers, sizes, errors and warnings."""
    return CheckReport.of(check(prototxt, shape.channels, shape.height, shape.width, shape.classes, shape.batch_size))


def draw_text(prototxt: str, shape: InputShape) -> str:
    """The net as an <svg>; empty when nothing can be drawn."""
    return diagram_svg(prototxt, shape.channels, shape.height, shape.width, shape.classes)


def _refuse(form: NewTopology) -> None:
    if form.name.casefold() in {name.casefold() for entry in zoo() for name in (entry.id, entry.name)}:
        message = f"“{form.name}” is a topology of the zoo. Choose another name."
        raise InvalidTopology({"name": message}, is_taken=True)
    if form.name.isascii() and form.name.isdigit():
        raise InvalidTopology({"name": "A name of digits alone would be taken for a number. Choose another name."})
    shape = form.shape
    errors = check(form.prototxt, shape.channels, shape.height, shape.width, shape.classes).errors
    if errors:
        raise InvalidTopology({"prototxt": issues_in_words(errors)})


@dataclass(frozen=True)
class Difference:
    """What changed from one text to another: layer by layer where both can be read, and line by line."""

    layers: list[LayerChange] | None
    lines: list[tuple[str, str]]  # (kind, line): "same", "added", "removed", or "place" between two pieces


def compare_texts(old: str, new: str) -> Difference:
    before, after = read_leniently(old)[0], read_leniently(new)[0]
    layers = compare(before, after) if before is not None and after is not None else None
    return Difference(layers, list(_changed_lines(old, new)))


def _changed_lines(old: str, new: str) -> Iterator[tuple[str, str]]:
    kinds = {"+": "added", "-": "removed", "@": "place", " ": "same"}
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=3, lineterm="")
    for line in islice(lines, 2, MOST_CHANGED_LINES):  # the first two name files
        yield kinds[line[:1] or " "], line if line.startswith("@@") else line[1:]


def issues_in_words(issues: list[Issue]) -> str:
    """The first of some issues with its place, and how many more there are."""
    first = issues[0]
    more = f" ({len(issues) - 1:,} more)" if len(issues) > 1 else ""
    return f"Line {first.line}, column {first.column}: {first.message}{more}"


def _original_of(session: Session, form: NewTopology) -> Found | None:
    try:
        return find_topology(session, form.original) if form.original else None
    except PageNotFound:
        return None


def _of_zoo(entry: ZooEntry) -> Found:
    return Found(
        key=entry.id,
        name=entry.name,
        prototxt=entry.prototxt,
        original="",
        image_size=f"{entry.image_size} × {entry.image_size} ({'gray' if entry.channels == 1 else 'color'})",
        title=entry.title[:1].upper() + entry.title[1:],
        note=entry.note,
        parameters=f"{entry.published_parameters:,} for {entry.published_classes:,} classes",
    )


def _of_row(row: Topology) -> Found:
    return Found(
        key=str(row.id),
        name=row.name,
        prototxt=row.prototxt,
        original=row.original,
        image_size=row.image_size,
        is_custom=True,
        owner_id=row.user_id,
        owner=row.user.username if row.user else None,
        created_at=row.created_at,
    )


def _row_id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
