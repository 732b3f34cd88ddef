"""What the sources that somebody chose for a dataset give: whether they are there, how many pictures of which class.

The schema (`app/schemas/sources.py`) says what may be asked for, `made_of.py` what a row keeps, `source_problems.py`
what does not fit. Counts are those of file names: how many pictures can be read is known once the dataset is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app.archives import ArchiveError
from app.archives.holdings import Holdings
from app.archives.lists import read_names
from app.datasets import split
from app.datasets.labels import count_lists
from app.datasets.made_of import MadeOf, Place, SourceKind, Text, text_file
from app.datasets.server_folders import look_into
from app.db import Upload
from app.schemas.datasets import NewDataset
from app.schemas.sources import Place as GivenPlace
from app.schemas.sources import TextFile

Found = Holdings | str  # what a place holds, or what is wrong with it


@dataclass(frozen=True)
class Counted:
    """Pictures per class: those to divide, and those of splits with a source of their own."""

    divided: dict[str, int]
    whole: dict[str, dict[str, int]]
    unknown: dict[str, dict[str, int]]  # split → names that training does not have, with their pictures
    nameless: dict[str, dict[str, int]] = field(default_factory=dict)  # split → labels that labels.txt does not name


@dataclass(frozen=True)
class Chosen:
    """A form with its places looked up; `found` has the field of each place, "" for the main one."""

    form: NewDataset
    made_of: MadeOf
    found: Mapping[str, Found]
    uploads: Mapping[int, Upload]

    @property
    def main(self) -> Holdings:
        return self.holdings("")

    def holdings(self, name: str) -> Holdings:
        """What the place of a field holds; that of a split is the main one unless it has a place of its own."""
        found = self.found.get(name, self.found[""])
        return found if isinstance(found, Holdings) else Holdings()

    def holders(self, purpose: str) -> list[Holdings]:
        """Where a list, or labels.txt, is looked for, in this order."""
        if purpose == "labels":
            return [self.holdings(name) for name in self.found]
        return [self.holdings(purpose), self.main] if purpose in self.found else [self.main]


def look_up(session: Session, form: NewDataset, roots: Sequence[Path]) -> Chosen:
    """Reads the rows of the uploads, and looks into folders on the server."""
    made_of = made_of_form(form)
    uploads = {upload.id: upload for id in made_of.upload_ids if (upload := session.get(Upload, id)) is not None}
    found = {field: _look(place, uploads, roots) for field, place in made_of.places()}
    named = MadeOf(
        _named(made_of.main, uploads),
        tuple(_named(place, uploads) for place in made_of.more),
        {name: _named(place, uploads) for name, place in made_of.whole.items()},
        made_of.lists,
        made_of.databases,
        made_of.labels,
    )
    return Chosen(form, named, found, uploads)


def without_uploads(chosen: Chosen, left: Mapping[int, Upload]) -> Chosen:
    """The same when only some of the uploads are still there."""
    found = {
        name: chosen.found[name] if place.upload_id is None else _look(place, left, ())
        for name, place in chosen.made_of.places()
    }
    return replace(chosen, found=found, uploads=left)


def made_of_form(form: NewDataset) -> MadeOf:
    main = Place(form.upload_id, form.folder, form.within)
    given = {name: place for name, place in (("val", form.val), ("test", form.test)) if place is not None}
    texts = {name: text for name in split.SPLITS if form.lists and (text := getattr(form.lists, name)) is not None}
    lmdbs = {
        name: path for name in split.SPLITS if form.databases and (path := getattr(form.databases, name)) is not None
    }
    labels = form.lists.labels if form.lists else form.databases.labels if form.databases else None
    return MadeOf(
        main,
        tuple(_place(place, main) for place in form.more),
        {name: _place(place, main) for name, place in given.items()},
        {name: _text(text, f"{name}.txt") for name, text in texts.items()},
        {name: path or "." for name, path in lmdbs.items()},
        _text(labels, "labels.txt") if labels else None,
    )


def _place(given: GivenPlace, main: Place) -> Place:
    if given.upload_id is None and given.folder is None:
        return replace(main, within=given.within)
    return Place(given.upload_id, given.folder, given.within)


def _text(given: TextFile, name: str) -> Text:
    return Text(given.path) if given.path is not None else Text(name=given.name or name)


def _named(place: Place, uploads: Mapping[int, Upload]) -> Place:
    upload = uploads.get(place.upload_id or 0)
    return replace(place, name=upload.name) if upload is not None else place


def _look(place: Place, uploads: Mapping[int, Upload], roots: Sequence[Path]) -> Found:
    if place.folder is not None:
        try:
            return look_into(place.folder, roots)
        except ArchiveError as error:
            return str(error)
    upload = uploads.get(place.upload_id or 0)
    if upload is None:
        return "This upload does not exist, or was deleted meanwhile. Choose another one."
    if not upload.is_ready:
        reason = f": {upload.error}" if upload.error else ""
        return f"This upload is {upload.status}{reason}. Choose one that is done."
    return upload.holdings


# -- how many -----------------------------------------------------------------------------------------------------


def count(chosen: Chosen) -> Counted | None:
    """Pictures per class; None when they are not known before the build."""
    if chosen.made_of.kind is SourceKind.DATABASES:
        return None
    return _count_lists(chosen) if chosen.made_of.lists else _count_folders(chosen)


def _count_folders(chosen: Chosen) -> Counted | None:
    counts = {name: _classes(chosen, name, place) for name, place in chosen.made_of.places()}
    divided: dict[str, int] = {}
    for name, classes in counts.items():
        if classes is None:
            return None
        if name not in split.SPLITS:
            divided |= {label: divided.get(label, 0) + number for label, number in classes.items()}
    whole, unknown = {}, {}
    for name in chosen.made_of.whole:
        classes = counts[name] or {}
        whole[name] = {label: number for label, number in classes.items() if label in divided}
        unknown[name] = {label: number for label, number in classes.items() if label not in divided}
    return Counted(dict(sorted(divided.items())), whole, unknown)


def _classes(chosen: Chosen, name: str, place: Place) -> dict[str, int] | None:
    found = chosen.found[name]
    if not isinstance(found, Holdings):
        return None
    if not place.within and place.upload_id is not None:
        return {str(entry["name"]): int(entry["count"]) for entry in chosen.uploads[place.upload_id].classes}
    return found.classes(place.within)


def _count_lists(chosen: Chosen) -> Counted | None:
    given = chosen.form.lists
    assert given is not None
    lists: dict[str, bytes | Mapping[str, int] | None] = {}
    for name, text in chosen.made_of.lists.items():
        beside = getattr(given, name).text
        lists[name] = beside.encode() if beside is not None else _labels_of(chosen, name, text.path or "")
    counts = count_lists(lists, class_names(chosen, given.labels))
    if counts.by_split is None:
        return None
    divided = {name: counts.by_split["train"].get(name, 0) for name in counts.classes}
    whole = {name: found for name, found in counts.by_split.items() if name != "train"}
    return Counted(divided, whole, counts.unknown, counts.nameless)


def _labels_of(chosen: Chosen, name: str, path: str) -> dict[str, int] | None:
    """How often a list that lies in an archive has each label; None when that is not known."""
    found = next((found for holdings in chosen.holders(name) if (found := holdings.find_list(path))), None)
    return found.labels if found else None


def class_names(chosen: Chosen, given: TextFile | None) -> list[str] | None:
    """The names that labels.txt gives; None without it, or when they are not known."""
    if given is None:
        return None
    if given.text is not None:
        return read_names(given.text.encode())
    holder = next((one for one in chosen.holders("labels") if given.path in one.text_paths()), Holdings())
    return holder.names(given.path or "")


def classes_used(form: NewDataset, counted: Counted) -> list[tuple[str, int]]:
    """(name, images to divide) of the classes that are large enough, with no more images than are taken of each."""
    most = form.max_per_class
    return [
        (name, number if most is None else min(number, most))
        for name, number in counted.divided.items()
        if number >= form.min_per_class
    ]


def count_splits(form: NewDataset, counted: Counted) -> list[dict[str, Any]]:
    """Per class how many images each split gets if all of them can be read; empty if it cannot be split so."""
    rows = []
    for name, number in classes_used(form, counted):
        if number < split.needed_per_class(*form.percents):
            return []
        row = dict(zip(split.SPLITS, split.split_counts(number, *form.percents), strict=True))
        for whole, classes in counted.whole.items():
            row[whole] = min(classes.get(name, 0), form.max_per_class or classes.get(name, 0))
        rows.append({"name": name, "count": sum(row.values()), **row})
    return rows


# -- what a row keeps ---------------------------------------------------------------------------------------------


def source_option(chosen: Chosen) -> dict[str, Any]:
    """The entry in a row's options; empty for the class folders of one whole upload."""
    if chosen.made_of.is_plain:
        return {}
    counted = count(chosen)
    rows = count_splits(chosen.form, counted) if counted else []
    expected = {"classes": len(rows), "train_count": sum(row["train"] for row in rows)} if rows else None
    return {"source": replace(chosen.made_of, expected=expected).to_dict()}


def write_texts(dataset_dir: Path, form: NewDataset) -> None:
    """Keeps the lists that came beside the archive, for this build and later ones."""
    given = form.lists or form.databases
    for purpose in ("train", "val", "test", "labels"):
        text = getattr(given, purpose, None)
        if isinstance(text, TextFile) and text.text is not None:
            path = text_file(dataset_dir, purpose)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.text.encode())
