"""What pages and API do with topologies, on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.db import Database, User
from app.schemas.topologies import InputShape, NewTopology
from app.topologies import (
    InvalidTopology,
    create_topology,
    custom_topologies,
    find_topology,
    zoo_topologies,
)
from app.topology.zoo import zoo_entry
from app.web import PageNotFound
from tests import factories

LENET = zoo_entry("lenet").prototxt  # type: ignore[union-attr]


@pytest.fixture
def user(any_database: Database) -> User:
    return factories.user(any_database)


def form(**changes: object) -> NewTopology:
    return NewTopology.model_validate({"name": "mine", "prototxt": LENET, "original": "lenet"} | changes)


def test_of_eight_who_save_the_same_name_at_once_one_wins(any_database: Database, user: User) -> None:
    def save(number: int) -> bool:
        try:
            create_topology(any_database, user, form(original=str(number)))
        except InvalidTopology as error:
            return not error.is_taken
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(save, range(8))) == 1


def test_names_that_differ_in_more_than_case_are_different(any_database: Database, user: User) -> None:
    for name in ("mine", "Mine", "mine 2", "網", "x" * 200):
        create_topology(any_database, user, form(name=name))
    with any_database.read() as session:
        assert len(custom_topologies(session)[0]) == 5


def test_a_custom_topology_is_found_by_number_before_name(any_database: Database) -> None:
    first = factories.topology(any_database, name="first")
    factories.topology(any_database, name=str(first.id))
    with any_database.read() as session:
        assert find_topology(session, str(first.id)).name == "first"
        for key in ("", "nope", "-1", "9" * 40):
            with pytest.raises(PageNotFound):
                find_topology(session, key)


def test_the_input_of_a_topology_is_read_from_its_image_size(any_database: Database) -> None:
    lenet = next(found for found in zoo_topologies() if found.key == "lenet")
    assert lenet.input_shape == InputShape(channels=1, width=28, height=28)
    assert lenet.input_shape.image_size == lenet.image_size
    odd = factories.topology(any_database, image_size="something")
    with any_database.read() as session:
        assert find_topology(session, str(odd.id)).input_shape == InputShape()
