"""Kombu's filesystem transport with whole files only.

Kombu opens a message under its final name and writes it afterwards, and takes a message by moving it through the
system's temporary folder; a reader can then meet half a message, which ends its connection. It makes the table of an
exchange in the same way. Here a file appears under its name once it is complete, and is taken within the broker's own
folder. Lost messages would do no harm (`app/queue.py`), broken connections would.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.transport.virtual import BrokerState, Empty

NAME = "wholefiles"
URL = f"{NAME}://"
TRANSPORT_ALIASES[NAME] = "app.filesystem_broker:Transport"


class Channel(filesystem.Channel):
    def _put(self, queue: Any, payload: Any, **_: Any) -> None:  # type: ignore[override]  # two parents disagree
        folder = Path(self.data_folder_out)
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex}"  # oldest first by name, also across reboots
        _write_whole(folder / f"{name}.{queue}.msg", json.dumps(payload))

    def _get(self, queue: Any, timeout: Any = None) -> Any:  # noqa: ARG002
        folder = Path(self.data_folder_in)
        ending = f"{queue}.msg"
        for name in sorted(entry.name for entry in os.scandir(folder) if entry.name.partition(".")[2] == ending):
            taken = folder / f"{name}.taken"
            try:
                (folder / name).rename(taken)
            except FileNotFoundError:
                continue  # somebody else was faster
            text = taken.read_text()
            taken.unlink()
            return json.loads(text)
        raise Empty

    def _queue_bind(self, exchange: Any, routing_key: Any, pattern: Any, queue: Any) -> None:
        binding = [routing_key or "", pattern or "", queue or ""]
        with (self.control_folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            table = [list(entry) for entry in self.get_table(exchange)]  # type: ignore[no-untyped-call]
            if binding not in table:
                _write_whole(self._exchange_file(exchange), json.dumps([binding, *table]))  # type: ignore[no-untyped-call]


class Transport(filesystem.Transport):
    Channel = Channel

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)  # type: ignore[no-untyped-call]
        # kombu's transport knows one broker per process, and for a second folder it would send to nobody
        self.state = BrokerState()  # type: ignore[no-untyped-call]


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(f"{uuid.uuid4().hex}.part")
    part.write_text(text)
    part.replace(path)
