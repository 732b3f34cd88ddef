"""Uvicorn with this application, and how it is told to stop."""

from __future__ import annotations

import contextlib
import socket

import uvicorn
from fastapi import FastAPI

from app.settings import Settings

GRACE_S = 3  # for answers under way, such as a download, when it is told to stop


def run(app: FastAPI, settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30,
        server_header=False,
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn sends itself the signal again once it has finished
        _Server(app, config).run()


class _Server(uvicorn.Server):
    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the event streams, which have no end of their own, before it waits for the answers under way."""
        self._app.state.live.end_streams()
        await super().shutdown(sockets)
