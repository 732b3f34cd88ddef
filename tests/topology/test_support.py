"""The page of supported layers."""

from pathlib import Path

from app.topology.layers import layer_types
from app.topology.support import support_page

PAGE = Path(__file__).parents[2] / "docs" / "layers.md"


def test_the_page_in_the_docs_is_that_of_the_registry() -> None:
    assert PAGE.read_text(encoding="utf-8") == support_page(), "run: python -m app.topology.support > docs/layers.md"


def test_every_type_has_a_row() -> None:
    for kind in layer_types():
        assert f"| **{kind.name}** |" in support_page()
