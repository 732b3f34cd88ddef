"""What a dataset build may end with besides a dataset; the texts are shown to the user."""

from __future__ import annotations


class DatasetError(Exception):
    """The data, or the room on the disk, does not allow this dataset; the message says what was found."""


class BuildStopped(Exception):
    """The build was asked to stop; nothing of it is left."""
