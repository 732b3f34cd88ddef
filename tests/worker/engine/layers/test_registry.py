from __future__ import annotations

import pytest

from app.topology.layers import DATA_TYPES, layer_types
from tests.worker.engine.oracle import module
from worker.engine.errors import EngineError
from worker.engine.layers import supported_types


def test_every_type_that_the_language_knows_can_be_run() -> None:
    known = {kind.name for kind in layer_types()} - DATA_TYPES
    assert known <= set(supported_types())


def test_an_unknown_type_is_named_with_its_line() -> None:
    with pytest.raises(EngineError, match=r'^tested \(line 7\): unknown layer type "Convolutoin"'):
        module('type: "Convolutoin"', (1, 1, 5, 5))
