"""What is wrong with the pictures of a dataset: duplicates, leaks between splits, one picture under two labels."""

from __future__ import annotations

import re
import secrets
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.datasets import datasets
from app.datasets.checkup import DUPLICATES_FILE, Group
from app.datasets.datasets import InvalidDataset
from app.datasets.files import DatasetFiles
from app.datasets.versions import create_version
from app.db import Dataset
from app.errors import messages_by_field
from app.forms import Typed
from app.pages.dataset_images import page_of, version_of
from app.schemas.datasets import FINDINGS, SPLIT_NAMES, Finding, NewVersion, Split
from app.storage import Storage
from app.web import CurrentUser, DatabaseDep, PageNotFound, ReadSession, StorageDep, redirect, render

router = APIRouter(include_in_schema=False)
PAGE = 30
NOTHING_TICKED = "No image is ticked."
TICKED_TOO = "Images are ticked: choose “Only what is ticked”, or untick them."
_TICK = re.compile(r"tick_(train|val|test)_(\d{1,9})")


@router.get("/datasets/{dataset_id:int}/checkup")
def show(
    request: Request, session: ReadSession, storage: StorageDep, dataset_id: int, finding: str = "", after: str = ""
) -> HTMLResponse:
    return _show(request, session, storage, dataset_id, finding=finding, after=after)


@router.post("/datasets/{dataset_id:int}/versions")
def drop(
    request: Request, database: DatabaseDep, storage: StorageDep, user: CurrentUser, dataset_id: int, form: Typed
) -> Response:
    ticked = [match.groups() for name in form if (match := _TICK.fullmatch(name))]
    only_ticked = form.get("keep") == "ticked"
    sent = {
        "images": [{"split": split, "number": number} for split, number in ticked] if only_ticked else [],
        "findings": [finding.value for finding in Finding if form.get(f"drop_{finding.value}") and not only_ticked],
        "keep_one": form.get("keep") != "none",
        "submission": form.get("submission", ""),
    }
    try:
        if bool(ticked) is not only_ticked:
            raise InvalidDataset({"keep": NOTHING_TICKED if only_ticked else TICKED_TOO})
        wanted = NewVersion.model_validate(sent)
        version_id = create_version(database, request.app.state.queue, storage, user, dataset_id, wanted)
        return redirect(f"/datasets/{version_id}")
    except ValidationError as error:
        errors = messages_by_field(error.errors())
    except InvalidDataset as error:
        errors = error.fields
    with database.read() as session:
        form_state = {"values": form, "errors": errors}
        place = {name: form.get(name, "") for name in ("finding", "after")}
        return _show(request, session, storage, dataset_id, **place, form=form_state, status_code=422)


@router.get("/datasets/{dataset_id:int}/duplicates.csv")
def duplicates_csv(session: ReadSession, storage: StorageDep, dataset_id: int) -> Response:
    dataset = datasets.get_dataset(session, dataset_id)
    path = storage.dataset_dir(dataset.id) / DUPLICATES_FILE
    if not path.is_file():
        raise PageNotFound("list of duplicates")
    return FileResponse(path, media_type="text/csv; charset=utf-8", filename=f"dataset-{dataset.id}-duplicates.csv")


def _show(
    request: Request,
    session: Session,
    storage: Storage,
    dataset_id: int,
    *,
    finding: str = "",
    after: str = "",
    form: dict[str, Any] | None = None,
    status_code: int = 200,
) -> HTMLResponse:
    dataset = datasets.get_dataset(session, dataset_id)
    checkup = DatasetFiles(storage.dataset_dir(dataset.id)).checkup()
    if checkup is None:
        raise PageNotFound("check-up of this dataset")
    chosen = finding if finding in list(Finding) else ""
    groups = [group for group in checkup.groups if not chosen or _concerns(group, chosen)]
    start = int(after) if after.isascii() and after.isdigit() and len(after) < 9 else 0
    return render(
        request,
        "datasets/checkup.html",
        status_code=status_code,
        dataset=dataset,
        checkup=checkup,
        finding=chosen,
        after=str(start) if start else "",
        findings=[(one.value, *texts) for one, texts in FINDINGS.items()],
        groups=[_shown(dataset, group) for group in groups[start : start + PAGE]],
        next=str(start + PAGE) if len(groups) > start + PAGE else None,
        found_count=checkup.group_counts[chosen] if chosen else _all(checkup.group_counts),
        listed_count=len(groups),
        submission=secrets.token_urlsafe(24),
        form=form,
    )


def _concerns(group: Group, finding: str) -> bool:
    if finding == Finding.TWO_LABELS:
        return group.has_two_labels
    return group.is_leak if finding == Finding.LEAKS else group.kind == finding


def _all(counts: dict[str, int]) -> int:
    return counts[Finding.EXACT] + counts[Finding.NEAR]


def _shown(dataset: Dataset, group: Group) -> dict[str, Any]:
    names = dataset.classes
    return {
        "kind": group.kind,
        "size": group.size,
        "has_two_labels": group.has_two_labels,
        "is_leak": group.is_leak,
        "pictures": [
            {
                "page": page_of(dataset, member.split, member.number),
                "url": f"/datasets/{dataset.id}/images/{member.split}/{member.number}.png?v={version_of(dataset)}",
                "class_name": names[member.label] if member.label < len(names) else str(member.label),
                "split": SPLIT_NAMES[Split(member.split)],
                "tick": f"tick_{member.split}_{member.number}",
                "source": member.source,
            }
            for member in group.members
        ],
    }
