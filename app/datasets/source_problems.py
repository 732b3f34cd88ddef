"""What is wrong with the sources that somebody chose for a dataset, by field, before anything is built."""

from __future__ import annotations

from collections.abc import Mapping

from app.archives.holdings import Holdings
from app.datasets import split
from app.datasets.labels import count_lists, names_problem
from app.datasets.made_of import Place, SourceKind, Text
from app.datasets.sources import Chosen, Counted, class_names, classes_used, count
from app.schemas.datasets import SPLIT_NAMES, Split
from app.schemas.sources import TextFile

SHOWN = 5


def problems_with(chosen: Chosen) -> dict[str, str]:
    """What is wrong with building this, by field (`val.within`); empty when nothing is known to be."""
    kind = chosen.made_of.kind
    problems = _places_problems(chosen)
    if not problems and kind is SourceKind.LISTS:
        problems = _lists_problems(chosen)
    if not problems and kind is SourceKind.DATABASES:
        problems = _databases_problems(chosen)
    if problems:
        return problems
    counted = count(chosen)
    if counted is None:
        return {}
    problem = split.class_problem(classes_used(chosen.form, counted), *chosen.form.percents)
    if problem:
        is_listed = kind is SourceKind.LISTS
        hint = "" if is_listed or len(counted.divided) > 1 else _without_folders(chosen, counted)
        return {"lists.train" if is_listed else _field("", chosen.made_of.main): problem + hint}
    return {
        f"lists.{name}" if chosen.made_of.lists else _field(name, chosen.made_of.whole[name]): _no_training_classes(
            chosen, name, counted
        )
        for name, classes in counted.whole.items()
        if not classes
    }


# -- places -------------------------------------------------------------------------------------------------------


def _places_problems(chosen: Chosen) -> dict[str, str]:
    problems: dict[str, str] = {}
    seen: list[tuple[str, Place]] = []
    is_listed = chosen.made_of.kind is SourceKind.LISTS
    for name, place in chosen.made_of.places():
        found = chosen.found[name]
        if isinstance(found, str):
            problems[_field(name, place)] = found
        elif place.within and _is_without(found, place.within, is_listed):
            problems[_within(name)] = _no_folder(place.within, found, is_listed)
        elif chosen.made_of.kind is SourceKind.FOLDERS and any(place.overlaps(other) for _, other in seen):
            problems[_within(name)] = (
                "This lies inside of what is chosen already, or the other way round: its images would be taken twice. "
                "Choose folders beside each other."
            )
        seen.append((name, place))
    return problems


def _is_without(found: Holdings, within: str, is_listed: bool) -> bool:
    """Whether it is known that there is nothing of use below a folder."""
    if is_listed:
        return found.folders is not None and not found.image_count(within)
    return found.classes(within) == {}


def _no_folder(within: str, found: Holdings, is_listed: bool) -> str:
    choices = found.image_folders(SHOWN + 1) if is_listed else found.within_choices(SHOWN + 1)
    what = "images" if is_listed else "class folders"
    others = f"there are: {_shown(choices)}" if choices else "there is none"
    return f"There is no folder “{within}” with {what} in it; {others}."


def _without_folders(chosen: Chosen, counted: Counted) -> str:
    """What to do about pictures that lie in no class folders, or all in one."""
    loose = 0 if counted.divided else chosen.main.image_count(chosen.made_of.main.within)
    images = "1 image lies" if loose == 1 else f"{loose:,} images lie"
    return (f" {images} in no class folder." if loose else "") + (
        " If a list says which class each image belongs to, choose “Lists”; otherwise put the images into one folder "
        "per class."
    )


def _no_training_classes(chosen: Chosen, name: str, counted: Counted) -> str:
    names = list(counted.unknown.get(name, {}))
    what = "list" if chosen.made_of.lists else "place"
    if names:
        there = f"its classes are: {_shown(names)}"
    elif counted.nameless.get(name):
        there = f"labels.txt has no name for: {_shown(list(counted.nameless[name]))}"
    else:
        loose = chosen.holdings(name).image_count(chosen.made_of.place_of(name).within)
        there = f"it has {loose:,} {'image' if loose == 1 else 'images'}, but no class folders"
    training = _shown(list(counted.divided))
    use = SPLIT_NAMES[Split(name)]
    return f"The {what} chosen for {use} has no images of the training classes ({training}); {there}."


# -- lists and LMDBs ----------------------------------------------------------------------------------------------


def _lists_problems(chosen: Chosen) -> dict[str, str]:
    problems = _text_problems(chosen, "lists", dict(chosen.made_of.texts()))
    assert chosen.form.lists is not None
    for name in chosen.made_of.lists:
        given: TextFile | None = getattr(chosen.form.lists, name)
        if given is not None and given.text is not None and f"lists.{name}" not in problems:
            problem = count_lists({"train": given.text.encode()}).problem
            problems |= {f"lists.{name}": problem} if problem else {}
    return _names_problems(chosen, "lists", chosen.form.lists.labels) | problems


def _databases_problems(chosen: Chosen) -> dict[str, str]:
    labels, given = chosen.made_of.labels, chosen.form.databases
    assert given is not None
    problems = _names_problems(chosen, "databases", given.labels)
    problems |= _text_problems(chosen, "databases", {"labels": labels} if labels else {})
    taken: set[tuple[object, str]] = set()
    for name, path in chosen.made_of.databases.items():
        found, where = chosen.holdings(name), chosen.made_of.place_of(name).where
        if found != Holdings() and path not in found.databases:
            known = ", ".join(". (its top)" if one == "." else one for one in found.databases) or "none"
            problems[f"databases.{name}"] = f"There is no LMDB (data.mdb) in the folder “{path}”; LMDBs there: {known}."
        elif (where, path) in taken:
            problems[f"databases.{name}"] = "This LMDB is chosen twice; its images would be in two splits."
        taken.add((where, path))
    return problems


def _names_problems(chosen: Chosen, kind: str, given: TextFile | None) -> dict[str, str]:
    problem = names_problem(class_names(chosen, given))
    return {f"{kind}.labels": problem} if problem else {}


def _text_problems(chosen: Chosen, kind: str, texts: Mapping[str, Text]) -> dict[str, str]:
    problems: dict[str, str] = {}
    taken: set[tuple[int, str]] = set()
    for name, text in texts.items():
        if text.path is None:
            continue
        holders = chosen.holders(name)
        holder = next((one for one in holders if text.path in one.text_paths()), None)
        if holder is None and Holdings() not in holders:
            known = _shown(list(dict.fromkeys(path for one in holders for path in one.text_paths()))) or "none"
            where = "the archive; its" if len(holders) == 1 else "these archives; their"
            problems[f"{kind}.{name}"] = f"There is no text file “{text.path}” in {where} text files: {known}."
        elif (id(holder), text.path) in taken:
            problems[f"{kind}.{name}"] = "This file is chosen twice; its images would be in two splits."
        taken.add((id(holder), text.path))
    return problems


def _field(name: str, place: Place) -> str:
    own = "folder" if place.folder is not None else "upload_id"
    return f"{name}.{own}" if name else own


def _within(name: str) -> str:
    return f"{name}.within" if name else "within"


def _shown(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
