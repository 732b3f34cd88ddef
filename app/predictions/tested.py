"""The same addresses under models and under pretrained nets: which of them a request is about."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request

from app.db import Noun, Subject


def under_both(router: APIRouter, prefix: str = "", converter: str = "") -> APIRouter:
    """The routes once below /models/{model_id}/predictions and once below /pretrained/{pretrained_id}/predictions."""
    both = APIRouter(prefix=prefix)
    for path, dependency in (("/models/{model_id%s}", _model), ("/pretrained/{pretrained_id%s}", _pretrained)):
        both.include_router(router, prefix=path % converter + "/predictions", dependencies=[Depends(dependency)])
    return both


def subject_of(request: Request) -> Subject:
    """The path's own, which one of the two below has put on the request."""
    return cast(Subject, request.state.subject)


SubjectDep = Annotated[Subject, Depends(subject_of)]


def _model(request: Request, model_id: int) -> None:
    request.state.subject = Subject(Noun.MODELS, model_id)


def _pretrained(request: Request, pretrained_id: int) -> None:
    request.state.subject = Subject(Noun.PRETRAINED, pretrained_id)
