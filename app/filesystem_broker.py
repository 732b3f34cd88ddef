"""Kombu's filesystem transport with whole messages only.

Kombu opens a message under its final name and writes it afterwards, and takes a message by moving it through the
system's temporary folder; a reader can then meet half a message, which ends its connection. Here a message appears
under its name once it is complete, and is taken within the broker's own folder. Lost messages would do no harm
(`app/queue.py`), broken connections would.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.transport.virtual import Empty

NAME = "wholefiles"
URL = f"{NAME}://"
TRANSPORT_ALIASES[NAME] = "app.filesystem_broker:Transport"


class Channel(filesystem.Channel):
    def _put(self, queue: Any, message: Any, **_: Any) -> None:
        folder = Path(self.data_folder_out)
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex}"  # oldest first by name, also across reboots
        part = folder / f"{name}.part"
        part.write_text(json.dumps(message))
        part.rename(folder / f"{name}.{queue}.msg")

    def _get(self, queue: Any, timeout: Any = None) -> Any:  # noqa: ARG002
        folder = Path(self.data_folder_in)
        ending = f".{queue}.msg"
        for name in sorted(entry for entry in os.listdir(folder) if entry.endswith(ending)):
            taken = folder / f"{name}.taken"
            try:
                (folder / name).rename(taken)
            except FileNotFoundError:
                continue  # somebody else was faster
            text = taken.read_text()
            taken.unlink()
            return json.loads(text)
        raise Empty


class Transport(filesystem.Transport):
    Channel = Channel
