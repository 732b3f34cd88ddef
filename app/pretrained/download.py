"""A pretrained net as one zip: its weights, prototxt, labels, mean image, and what they are."""

from __future__ import annotations

from fastapi.responses import StreamingResponse

from app.db import PretrainedNet, Status
from app.download_stream import Entry, stream_zip
from app.models.download import attachment
from app.storage import Storage
from app.web import ApiError

FILES = ("info.json", "net.prototxt", "labels.txt", "mean.npy")
WEIGHTS = "weights.safetensors"


def response(storage: Storage, net: PretrainedNet) -> StreamingResponse:
    """Refuses with 409 while there is nothing to send, or no more."""
    if net.status != Status.DONE:
        raise ApiError(
            409, "not_imported", f"There is nothing to download: the import of “{net.name}” is {net.status}."
        )
    folder = storage.pretrained_dir(net.id)
    if not (folder / WEIGHTS).is_file():
        raise ApiError(409, "files_lost", f"The weights of “{net.name}” are gone from the disk.")
    entries = [Entry(name, folder / name) for name in FILES if (folder / name).is_file()]
    entries.append(Entry(WEIGHTS, folder / WEIGHTS, is_compressed=False))
    headers = {"Content-Disposition": attachment(f"{net.name}.zip")}
    return StreamingResponse(stream_zip(entries, net.created_at), media_type="application/zip", headers=headers)
