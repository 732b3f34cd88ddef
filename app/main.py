"""The web application: puts the parts together. Nothing is decided here but the order."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from app.db import Database
from app.queue import Queue
from app.settings import Settings
from app.storage import Storage
from app.version import VERSION
from app.web import ROOT

def _optional(name):  # temporary while the parts arrive
    import importlib
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("app."):
            print("missing", name, error)
            return None
        raise

errors, live, security, uploads = (_optional("app." + n) for n in ("errors", "live", "security", "uploads"))
API = [_optional("app.api." + n) for n in "docs health tokens uploads datasets topologies models sweeps predictions jobs".split()]
PAGES = [_optional("app.pages." + n) for n in "home account uploads datasets topologies models sweeps predictions jobs patterns".split()]


def create_app(settings: Settings, setup_code: str = "") -> FastAPI:
    """The application on a migrated database. `setup_code` guards the set-up page while there is no user."""
    app = FastAPI(
        title="Trainyard", version=VERSION, lifespan=_lifespan, openapi_url=None, docs_url=None, redoc_url=None
    )
    app.state.settings = settings
    app.state.setup_code = setup_code
    app.state.storage = Storage(settings.home.resolve())
    app.state.storage.prepare()
    app.state.database = Database.open(settings)
    app.state.queue = Queue(settings, app.state.database)
    errors and errors.install(app)
    security and security.install(app)
    app.include_router(_vendored())
    app.mount("/static", StaticFiles(directory=ROOT / "static"), name="static")
    for noun in (*API, *PAGES):
        noun and app.include_router(noun.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    uploads and uploads.resume_checks(app)
    if live: await live.start(app)
    yield
    if live: await live.stop(app)
    app.state.database.close()


def _vendored() -> APIRouter:
    """plotly.min.js straight from the installed package: no CDN, no copy in the repository."""
    router = APIRouter()

    @router.get("/static/vendor/plotly.min.js", include_in_schema=False)
    def plotly() -> FileResponse:
        return FileResponse(
            _package("plotly") / "package_data" / "plotly.min.js",
            media_type="text/javascript",
            headers={"Cache-Control": "public, max-age=86400"},
        )

    return router


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the package {name} is not installed; run scripts/serve once")
    return Path(spec.origin).parent
