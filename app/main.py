"""The web application: puts the parts together. Nothing is decided here but the order."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from app import errors, live
from app.api import dataset_images as api_dataset_images
from app.api import dataset_previews as api_dataset_previews
from app.api import datasets as api_datasets
from app.api import docs as api_docs
from app.api import first_batches as api_first_batches
from app.api import health as api_health
from app.api import jobs as api_jobs
from app.api import models as api_models
from app.api import predictions as api_predictions
from app.api import pretrained as api_pretrained
from app.api import sweeps as api_sweeps
from app.api import tokens as api_tokens
from app.api import topologies as api_topologies
from app.api import uploads as api_uploads
from app.db import Database
from app.pages import (
    account,
    datasets,
    first_batches,
    home,
    jobs,
    models,
    patterns,
    predictions,
    pretrained,
    sweeps,
    topologies,
)
from app.pages import uploads as upload_pages
from app.queue import Queue
from app.security import gate
from app.settings import Settings
from app.storage import Storage
from app.uploads import uploads
from app.version import VERSION
from app.web import ROOT

PAGES = (home, account, upload_pages, datasets, topologies, models, first_batches, sweeps, predictions, pretrained,
         jobs, patterns)  # fmt: skip
API = (api_docs, api_health, api_tokens, api_uploads, api_datasets, api_dataset_images, api_dataset_previews,
       api_topologies, api_models,
       api_first_batches, api_sweeps,
       api_predictions, api_pretrained, api_jobs)  # fmt: skip


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
    errors.install(app)
    gate.install(app)
    app.include_router(_vendored())
    app.mount("/static", StaticFiles(directory=ROOT / "static"), name="static")
    for noun in (*API, *PAGES):
        app.include_router(noun.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    uploads.resume_checks(app)
    await live.start(app)
    yield
    await live.stop(app)
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
