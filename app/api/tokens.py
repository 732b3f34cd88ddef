"""API tokens as JSON: made with a name and a password, listed and revoked with a token."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.schemas.account import Credentials, NewToken, TokenDetails, TokenPage
from app.schemas.errors import ErrorBody, refuses
from app.security.gate import address_of
from app.security.sessions import new_api_token, revoke_api_token, tokens_of
from app.security.sign_in import SignInRefused, sign_in
from app.web import ApiError, CurrentUser, DatabaseDep, PageNotFound, ReadSession

router = APIRouter(prefix="/api/v1/tokens", tags=["tokens"])

NOT_RIGHT = refuses(429)
NOT_RIGHT[401] = {"model": ErrorBody, "description": "User name and password do not fit together."}


@router.post("", status_code=201, responses=NOT_RIGHT)
def make_token(request: Request, database: DatabaseDep, body: Credentials) -> NewToken:
    """A token for `Authorization: Bearer …`. It is shown once and does not run out; revoke it when it is not needed."""
    try:
        user = sign_in(database, body.username, body.password, address_of(request))
    except SignInRefused as refusal:
        if refusal.retry_after_s is None:
            raise ApiError(401, "wrong_password", refusal.message) from refusal
        headers = {"Retry-After": str(refusal.retry_after_s)}
        raise ApiError(429, "too_many_requests", refusal.message, headers=headers) from refusal
    with database.write() as session:
        row, token = new_api_token(session, user.id, body.label)
        return NewToken(id=row.id, label=row.label, token=token)


@router.get("", responses=refuses())
def list_tokens(
    session: ReadSession,
    user: CurrentUser,
    after: int | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> TokenPage:
    """Your own tokens, without their secrets."""
    rows = tokens_of(session, user.id, limit + 1, after)
    items = [TokenDetails.model_validate(row, from_attributes=True) for row in rows[:limit]]
    return TokenPage(items=items, next=items[-1].id if len(rows) > limit else None)


@router.delete("/{token_id}", status_code=204, responses=refuses(404))
def revoke_token(database: DatabaseDep, user: CurrentUser, token_id: int) -> Response:
    """Revokes a token of your own."""
    with database.write() as session:
        if not revoke_api_token(session, user.id, token_id):
            raise PageNotFound("token")
    return Response(status_code=204)
