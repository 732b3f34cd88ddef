"""What cannot be done as it was asked for: one message per field, for a page beside the field, for the API as JSON."""

from __future__ import annotations

from collections.abc import Mapping


class InvalidFields(Exception):
    """The base of each noun's own; `fields` maps the name of a field to its message."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(self.fields.values()))
