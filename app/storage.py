"""The one place that joins paths under TRAINYARD_HOME. Rows hold paths relative to it, so that a home can be moved."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Storage:
    """Where each thing lies. Ids are the database's; nothing a user typed becomes part of a path."""

    home: Path

    def prepare(self) -> None:
        places = (self.uploads, self.datasets, self.models, self.pretrained, self.logs, self.broker, self.drafts)
        for folder in (self.home, *places):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def uploads(self) -> Path:
        return self.home / "uploads"

    @property
    def datasets(self) -> Path:
        return self.home / "datasets"

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def drafts(self) -> Path:
        """Files of forms that came back with a message."""
        return self.home / "drafts"

    @property
    def pretrained(self) -> Path:
        return self.home / "pretrained"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def broker(self) -> Path:
        return self.home / "broker"

    def upload_dir(self, upload_id: int) -> Path:
        return self.uploads / str(upload_id)

    def upload_file(self, upload_id: int) -> Path:
        """The received archive, whole or in part; its real name is on the row."""
        return self.upload_dir(upload_id) / "archive"

    def dataset_dir(self, dataset_id: int) -> Path:
        return self.datasets / str(dataset_id)

    def first_batch_dir(self, dataset_id: int, first_batch_id: int) -> Path:
        return self.dataset_dir(dataset_id) / "first_batches" / str(first_batch_id)

    def model_dir(self, model_id: int) -> Path:
        return self.models / str(model_id)

    def model_log(self, model_id: int) -> Path:
        return self.model_dir(model_id) / "log.txt"

    def snapshots_dir(self, model_id: int) -> Path:
        return self.model_dir(model_id) / "snapshots"

    def predictions_dir(self, noun: str, subject_id: int) -> Path:
        """Of a model or a pretrained net; `noun` is "models" or "pretrained"."""
        return self.home / noun / str(subject_id) / "predictions"

    def prediction_dir(self, noun: str, subject_id: int, prediction_id: int) -> Path:
        return self.predictions_dir(noun, subject_id) / str(prediction_id)

    def activations_dir(self, noun: str, subject_id: int, prediction_id: int) -> Path:
        """What the layers made of the picture, an array each."""
        return self.prediction_dir(noun, subject_id, prediction_id) / "activations"

    def pretrained_dir(self, pretrained_id: int) -> Path:
        return self.pretrained / str(pretrained_id)

    def relative(self, path: Path) -> str:
        return path.relative_to(self.home).as_posix()

    def absolute(self, relative: str) -> Path:
        """The path behind a row's relative one; refuses one that leaves the home."""
        path = (self.home / relative).resolve()
        if not path.is_relative_to(self.home.resolve()):
            raise ValueError(f"{relative!r} leaves {self.home}")
        return path

    def delete(self, folder: Path) -> None:
        """Deletes a thing's folder; renamed first, so that nobody sees it half gone."""
        doomed = self.set_aside(folder)
        if doomed is not None:
            shutil.rmtree(doomed, ignore_errors=True)

    def set_aside(self, folder: Path) -> Path | None:
        """Renames a folder that is about to be deleted, which takes no time; None if there is none."""
        if not folder.exists():
            return None
        doomed = folder.with_name(f".deleted-{folder.name}")
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        return doomed
