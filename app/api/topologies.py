"""Topologies as JSON: the zoo and custom ones, and the check of a prototxt."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app import topologies
from app.schemas.topologies import CheckReport, CheckRequest, NewTopology, TopologyDetail, TopologyList, TopologyOut
from app.topologies import Found, InvalidTopology
from app.web import ApiError, CurrentUser, DatabaseDep, ReadSession

router = APIRouter(prefix="/api/v1/topologies", tags=["topologies"])


@router.get("")
def list_topologies(
    session: ReadSession,
    q: Annotated[str, Query(max_length=200, description="Part of the name")] = "",
    after: Annotated[str, Query(max_length=30, description="`next` of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> TopologyList:
    """The zoo first, on the first page only; then custom topologies, the newest first."""
    custom, next_page = topologies.custom_topologies(session, q, after, limit)
    zoo = [] if after else [found for found in topologies.zoo_topologies() if q.casefold() in found.name.casefold()]
    return TopologyList(items=[TopologyOut(**fields_of(found)) for found in [*zoo, *custom]], next=next_page)


@router.post("", status_code=201)
def create_topology(database: DatabaseDep, user: CurrentUser, form: NewTopology) -> TopologyDetail:
    """Saves a prototxt under a new name; refused while it has errors (422) or the name is taken (409)."""
    try:
        topology_id = topologies.create_topology(database, user, form)
    except InvalidTopology as error:
        if error.is_taken:
            raise ApiError(409, "name_taken", str(error), error.fields) from error
        raise ApiError(422, "invalid", str(error), error.fields) from error
    with database.read() as session:
        return get_topology(session, str(topology_id))


@router.post("/check")
def check(form: CheckRequest) -> CheckReport:
    """Layers with their shapes and sizes for an input, and what is wrong; a faulty text is answered with 200, too."""
    return topologies.check_text(form.prototxt, form)


@router.get("/{key}")
def get_topology(session: ReadSession, key: str) -> TopologyDetail:
    """By the zoo's id, the number of a custom topology, or its name."""
    found = topologies.find_topology(session, key)
    return TopologyDetail(**fields_of(found), prototxt=found.prototxt)


@router.delete("/{topology_id}", status_code=204)
def delete_topology(database: DatabaseDep, user: CurrentUser, topology_id: int) -> Response:
    """Models keep their own copy of the prototxt."""
    topologies.delete_topology(database, user, topology_id)
    return Response(status_code=204)


def fields_of(found: Found) -> dict[str, Any]:
    return {
        "id": found.key,
        "name": found.name,
        "is_custom": found.is_custom,
        "original": found.original,
        "image_size": found.image_size,
        "owner": found.owner,
        "created_at": found.created_at,
    }
