"""The first step of the dataset wizard: where the pictures come from. From the form's flat fields to those of
`Sources` and back, and what the page offers to choose from.

A place is an upload's id, the path of a folder on the server, or "same". A text is a path in the archive, a file that
comes with the form, or `KEPT`: a file that came with an earlier sending, or with the dataset that is cloned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.archives.folders import SPLIT_NAMES as WORDS
from app.archives.holdings import Holdings
from app.archives.lists import decoded
from app.datasets.made_of import TEXTS, MadeOf, Place, SourceKind, text_file
from app.datasets.split import SPLITS
from app.db import Dataset
from app.drafts import keep_draft, read_draft
from app.storage import Storage

Files = Mapping[str, tuple[str, bytes]]
SAME = "same"
KEPT = "//kept"
_CHOOSE_FIRST = {
    SourceKind.LISTS: "Choose the training list: one that the upload holds, or a file of yours.",
    SourceKind.DATABASES: "Choose the LMDB of the training images.",
}
_CHOOSE = {
    SourceKind.LISTS: "Choose the list of the {0} images, or “With the training images” below.",
    SourceKind.DATABASES: "Choose the LMDB of the {0} images, or “The same as for training”.",
}
GONE = "This file is no longer on the server. Choose it again."
MAX_MORE = 20
FIELDS = (
    "kind", "upload_id", "within", "list_within",
    *(f"{prefix}{split}_{name}" for prefix in ("", "list_", "database_") for split in ("val", "test")
      for name in ("upload_id", "within")),
    *(f"list_{purpose}" for purpose in TEXTS), *(f"database_{split}" for split in SPLITS),
    *(f"kept_{purpose}" for purpose in TEXTS), *(f"kept_{purpose}_name" for purpose in TEXTS),
)  # fmt: skip
PREFIXES = {SourceKind.FOLDERS: "", SourceKind.LISTS: "list_", SourceKind.DATABASES: "database_"}
_MORE = re.compile(r"more_([1-9]\d?)_(upload_id|within)")
_LABELS = re.compile(r"label|class|name|synset|categor")


def source_values(form: Mapping[str, str]) -> dict[str, str]:
    """The fields of this step as they were typed."""
    return {name: form.get(name, "") for name in FIELDS} | {
        name: text for name, text in form.items() if _MORE.fullmatch(name)
    }


@dataclass(frozen=True)
class Sent:
    """`values` for `NewDataset`, and messages of this step by the names of the form."""

    values: dict[str, Any]
    errors: dict[str, str] = field(default_factory=dict)


def sent_sources(values: Mapping[str, str], files: Files, storage: Storage) -> Sent:
    """What the schema is given for a form."""
    kind, sent = kind_of(values), _place(values.get("upload_id", ""))
    for split in ("val", "test"):
        if given := values.get(f"{PREFIXES[kind]}{split}_upload_id"):
            within = values.get(f"{PREFIXES[kind]}{split}_within", "")
            sent[split] = _place(given) | ({} if kind is SourceKind.DATABASES else {"within": within})
    if kind is SourceKind.FOLDERS:
        sent["within"] = values.get("within", "")
        sent["more"] = [_place(values[f"more_{row}_upload_id"]) | {"within": values.get(f"more_{row}_within", "")}
                        for row in more_rows(values)]  # fmt: skip
        return Sent(sent)
    texts, errors = _sent_texts(kind, values, files, storage)
    if kind is SourceKind.LISTS:
        sent["within"] = values.get("list_within", "")
    else:
        texts |= {split: path for split in SPLITS if (path := values.get(f"database_{split}", ""))}
    if "train" not in texts:
        errors.setdefault(f"{PREFIXES[kind]}train", _CHOOSE_FIRST[kind])
    for split in ("val", "test"):
        if split not in sent or split in texts:
            continue
        name = PREFIXES[kind] + split
        errors.setdefault(name, _CHOOSE[kind].format("validation" if split == "val" else "test"))
    return Sent(sent | {kind.value: texts}, errors)


def kind_of(values: Mapping[str, str]) -> SourceKind:
    given = values.get("kind", "")
    return SourceKind(given) if given in list(SourceKind) else SourceKind.FOLDERS


def within_of(values: Mapping[str, str]) -> str:
    """The folder that the form's training images lie below."""
    return values.get({SourceKind.FOLDERS: "within", SourceKind.LISTS: "list_within"}.get(kind_of(values), ""), "")


def other_places(values: Mapping[str, str]) -> list[str]:
    """The places of the form besides the first, as far as its kind of source has them."""
    prefix = PREFIXES[kind_of(values)]
    more = [] if prefix else [values[f"more_{row}_upload_id"] for row in more_rows(values)]
    return [*more, *(place for split in ("val", "test") if (place := values.get(f"{prefix}{split}_upload_id")))]


def _sent_texts(
    kind: SourceKind, values: Mapping[str, str], files: Files, storage: Storage
) -> tuple[dict[str, Any], dict[str, str]]:
    texts: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for purpose in TEXTS if kind is SourceKind.LISTS else ("labels",):
        text = _text(purpose, values, files, storage)
        if isinstance(text, str) and text == GONE:
            errors[f"list_{purpose}"] = GONE
        elif text is not None:
            texts[purpose] = text
    return texts, errors


def more_rows(values: Mapping[str, str]) -> list[int]:
    """The numbers of the rows for further uploads that are filled."""
    found = [_MORE.fullmatch(name) for name, text in values.items() if text]
    return sorted({int(match[1]) for match in found if match and match[2] == "upload_id"})[:MAX_MORE]


def field_of(place: Sequence[str | int], values: Mapping[str, str]) -> str:
    """The form's name of a field of the schema, which is given as its path."""
    first, *rest = [str(part) for part in place] or [""]
    if first == "more" and rest:
        rows = more_rows(values)
        row = rows[int(rest[0])] if int(rest[0]) < len(rows) else 1
        return f"more_{row}_{'within' if rest[1:] == ['within'] else 'upload_id'}"
    prefix = PREFIXES[kind_of(values)]
    if first in ("val", "test"):
        return f"{prefix}{first}_{'within' if rest == ['within'] else 'upload_id'}"
    if first in ("lists", "databases"):
        purpose = rest[0] if rest else "train"
        return f"database_{purpose}" if first == "databases" and purpose != "labels" else f"list_{purpose}"
    if first == "within":
        return f"{prefix}within"
    return "upload_id" if first == "folder" else first


def field_names(fields: Iterable[str]) -> dict[str, str]:
    """What fields of this step are called on the page."""
    splits = {"train": "Training", "val": "Validation", "test": "Test"}
    names = {"upload_id": "Upload or folder", "within": "Only a folder of it", "list_labels": "Names of classes",
             "list_within": "Folder of training images"}  # fmt: skip
    for split, word in splits.items():
        names |= {f"list_{split}": f"{word} list", f"database_{split}": f"{word} LMDB"}
        for prefix in PREFIXES.values():
            names |= {
                f"{prefix}{split}_upload_id": f"{word} images from",
                f"{prefix}{split}_within": f"Folder of {word.lower()} images",
            }
    names |= {name: "And also" for name in fields if _MORE.fullmatch(name)}
    return names


def keep_files(values: Mapping[str, str], files: Files, storage: Storage) -> dict[str, str]:
    """The values of a form that comes back, its files kept so that they need not be chosen again."""
    kept = dict(values)
    for purpose in TEXTS:
        if f"file_{purpose}" in files:
            name, data = files[f"file_{purpose}"]
            kept |= {
                f"list_{purpose}": KEPT,
                f"kept_{purpose}": f"draft:{keep_draft(storage, data)}",
                f"kept_{purpose}_name": name[:255],
            }
    return kept


def _place(value: str) -> dict[str, Any]:
    if value == SAME:
        return {}
    return {"folder": value} if value.startswith("/") else {"upload_id": value}


def _text(purpose: str, values: Mapping[str, str], files: Files, storage: Storage) -> Any:
    """A value for TextFile; None when there is none, GONE when its file is not there any more."""
    if f"file_{purpose}" in files:
        name, data = files[f"file_{purpose}"]
        return {"text": decoded(data), "name": name[:255]}
    chosen = values.get(f"list_{purpose}", "")
    if chosen != KEPT:
        return {"path": chosen} if chosen else None
    kept = _read_kept(purpose, values.get(f"kept_{purpose}", ""), storage)
    return GONE if kept is None else {"text": decoded(kept), "name": values.get(f"kept_{purpose}_name", "")[:255]}


def _read_kept(purpose: str, reference: str, storage: Storage) -> bytes | None:
    where, _, which = reference.partition(":")
    if where == "draft":
        return read_draft(storage, which)
    if where == "dataset" and which.isascii() and which.isdigit() and len(which) < 19:
        path: Path = text_file(storage.dataset_dir(int(which)), purpose)
        return path.read_bytes() if path.is_file() else None
    return None


# -- first values -------------------------------------------------------------------------------------------------


def suggested(holdings: Holdings, class_count: int) -> dict[str, str]:
    """The kind of source that an archive is for, and which of its lists or LMDBs is for what."""
    kind = SourceKind.FOLDERS
    if class_count < 2 and (holdings.lists or holdings.databases):
        kind = SourceKind.DATABASES if _are_in_databases(holdings) else SourceKind.LISTS
    elif class_count == 0 and holdings.image_count():
        kind = SourceKind.LISTS
    lists = _by_split([found.path for found in holdings.lists])
    databases = _by_split(holdings.databases)
    labels = [found.path for found in holdings.texts if _LABELS.search(found.path.rpartition("/")[2].lower())]
    values = {"kind": kind.value, "list_labels": labels[0] if labels else ""}
    values |= {f"list_{split}": path for split, path in lists.items()}
    return values | {f"database_{split}": path for split, path in databases.items()}


def _are_in_databases(holdings: Holdings) -> bool:
    """Whether the pictures are those of LMDBs: lists beside them, as DIGITS writes them, name files of elsewhere."""
    listed = max((found.count or 1 for found in holdings.lists), default=0)
    return bool(holdings.databases) and holdings.image_count() < max(1, listed)


def kept_division(holdings: Holdings) -> dict[str, str]:
    """The choices that keep the division of class folders that lie in folders named like splits; {} without such."""
    folders = holdings.split_folders()
    if "train" not in folders or len(folders) < 2:
        return {}
    values = {"within": folders.pop("train")}
    for split, folder in folders.items():
        values |= {f"{split}_upload_id": SAME, f"{split}_within": folder}
    return values


def refilled(values: Mapping[str, str], holdings: Mapping[str, Holdings]) -> dict[str, str]:
    """The values once other places were chosen: lists and LMDBs that are not there give way to those that are."""
    filled, main = dict(values), holdings.get(values.get("upload_id", ""), Holdings())
    for split in ("val", "test"):
        for prefix in ("list_", "database_"):
            own = holdings.get(_looked_up(values, f"{prefix}{split}_"), main)
            paths = [found.path for found in own.lists] if prefix == "list_" else own.databases
            there = {KEPT, *own.text_paths(), *main.text_paths()} if prefix == "list_" else set(own.databases)
            if values.get(prefix + split) in there:
                continue
            is_elsewhere = bool(values.get(f"{prefix}{split}_upload_id"))
            guess = _by_split(paths).get(split) or (paths[0] if len(paths) == 1 else "")
            filled[prefix + split] = guess if is_elsewhere else ""
    return filled


def _by_split(paths: list[str]) -> dict[str, str]:
    """Which of several files is for which split, by its name; training gets the first that is for no other."""
    found: dict[str, str] = {}
    for path in paths:
        words = re.split(r"[^a-z]+", path.lower())
        split = next((WORDS[word] for word in reversed(words) if word in WORDS), None)
        if split is not None:
            found.setdefault(split, path)
    if "train" not in found and paths:
        left = next((path for path in paths if path not in found.values()), paths[0])
        found = {"train": left} | {split: path for split, path in found.items() if path != left}
    return found


def with_shares(values: dict[str, str]) -> dict[str, str]:
    """First values of the percentages: 0 for splits that have a source of their own, the rest for training."""
    shares = {"val": 10, "test": 20}
    for split in shares:
        if has_own_source(values, split):
            shares[split] = 0
    left = 100 - sum(shares.values())
    return values | {"train_percent": str(left)} | {f"{split}_percent": str(share) for split, share in shares.items()}


def has_own_source(values: Mapping[str, str], split: str) -> bool:
    prefix = PREFIXES[kind_of(values)]
    return bool(values.get(prefix + split if prefix else f"{split}_upload_id"))


def values_of(dataset: Dataset) -> dict[str, str]:
    """What a clone of a dataset begins with."""
    made_of = dataset.made_of
    prefix = PREFIXES[made_of.kind]
    values = {
        "kind": made_of.kind.value,
        "upload_id": made_of.main.folder or str(made_of.main.upload_id or ""),
        f"{prefix}within": made_of.main.within,
    }
    for number, place in enumerate(made_of.more, start=1):
        values |= _values_of_place(f"more_{number}", place)
    for split, place in made_of.whole.items():
        values |= _values_of_place(prefix + split, place)
        if place.where == made_of.main.where:
            values[f"{prefix}{split}_upload_id"] = SAME
    values |= {f"database_{split}": path for split, path in made_of.databases.items()}
    return values | _values_of_texts(dataset.id, made_of)


def _values_of_place(name: str, place: Place) -> dict[str, str]:
    return {f"{name}_upload_id": place.folder or str(place.upload_id or ""), f"{name}_within": place.within}


def _values_of_texts(dataset_id: int, made_of: MadeOf) -> dict[str, str]:
    values: dict[str, str] = {}
    for purpose, text in made_of.texts():
        values[f"list_{purpose}"] = KEPT if text.path is None else text.path
        if text.path is None:
            values |= {f"kept_{purpose}": f"dataset:{dataset_id}", f"kept_{purpose}_name": text.name}
    return values


# -- what is offered ----------------------------------------------------------------------------------------------


def offered(values: Mapping[str, str], holdings: Mapping[str, Holdings]) -> dict[str, Any]:
    """What the page offers for this step; `holdings` of each place that is chosen, by its value."""
    main = holdings.get(values.get("upload_id", ""), Holdings())
    rows = more_rows(values)
    free = next(number for number in range(1, MAX_MORE + 2) if number not in rows)

    def there(name: str) -> Holdings:
        return holdings.get(_looked_up(values, name), Holdings() if values.get(f"{name}upload_id") else main)

    listed = {split: there(f"list_{split}_") for split in SPLITS}  # where the images of lists lie
    databases = {split: there(f"database_{split}_") for split in SPLITS}
    return {
        "main": main,
        "division": kept_division(main) if not values.get("within") else {},
        "rows": [*rows, free] if free <= MAX_MORE else rows,
        "folders": {
            name: holdings.get(_looked_up(values, name), Holdings()).within_choices()
            for name in ("", "val_", "test_", *(f"more_{row}_" for row in rows))
        },
        "image_folders": {split: held.image_folders() for split, held in listed.items()},
        "databases": {split: held.databases for split, held in databases.items()},
        "texts": {split: _texts_of(held, main) for split, held in listed.items()}
        | {"labels": _names_of([main, *(databases if kind_of(values) is SourceKind.DATABASES else listed).values()])},
    }


Texts = list[tuple[str, list[tuple[str, int | None]]]]  # groups: title, (path, lines or None)


def _texts_of(own: Holdings, main: Holdings) -> Texts:
    """The text files that a list may be: those with its images, and those with the training images."""
    groups = _lists_and_texts(own, "in it" if own is main else "there")
    known = set(own.text_paths())
    for title, found in _lists_and_texts(main, "with the training images") if own is not main else []:
        groups.append((title, [entry for entry in found if entry[0] not in known]))
    return [(title, found) for title, found in groups if found]


def _lists_and_texts(held: Holdings, where: str) -> Texts:
    return [
        (f"Lists {where}", [(found.path, found.count) for found in held.lists]),
        (f"Text files {where}", [(found.path, None) for found in held.texts]),
    ]


def _names_of(holders: Sequence[Holdings]) -> Texts:
    paths = dict.fromkeys(found.path for held in holders for found in held.texts)
    return [("Text files in it", [(path, None) for path in paths])] if paths else []


def _looked_up(values: Mapping[str, str], name: str) -> str:
    value = values.get(f"{name}upload_id", "")
    return values.get("upload_id", "") if value == SAME else value
