"""Where the layers of a text stand."""

import pytest

from app.topology.blocks import find_blocks


def bodies(text: str) -> list[str]:
    found = find_blocks(text, 10_000)
    assert found.is_balanced
    return [text[block.body : block.end].strip() for block in found.blocks]


@pytest.mark.parametrize(
    "text",
    [
        "layer { a }  layer { b }",
        "layer{a}layer{b}",
        "layer: { a }\nlayer: { b }",
        "layer < a >, layer < b >;",
        "layer: [ { a }, { b } ]",
        "layer [ < a > , { b } ]",
        "# layer { c }\nlayer # here\n { a } layers { b }",
        'name: "layer { c }" layer { a } state { stage: "layer" } layer { b }',
    ],
)
def test_blocks_are_found_in_every_form(text: str) -> None:
    assert bodies(text) == ["a", "b"]


def test_brackets_in_strings_and_comments_do_not_count() -> None:
    assert bodies("""layer { name: "}\\"" # }\n type: '{' }""") == ["""name: "}\\"" # }\n type: '{'"""]


def test_a_layer_within_another_message_is_no_layer_of_the_net() -> None:
    assert bodies("net_param { layer { a } } layer { b }") == ["b"]


def test_the_rest_keeps_its_places() -> None:
    text = 'layer {\n  a\n},\nname: "x" layer: [ { b } ]\ninput: "y"'
    rest = find_blocks(text, 10_000).rest()

    assert rest.split() == ["name:", '"x"', "input:", '"y"']
    assert len(rest) == len(text)
    assert rest.index("input") == text.index("input")


def test_places_count_from_one() -> None:
    found = find_blocks("\n  layer { a }\n", 10_000)

    assert found.place(found.blocks[0].start) == (2, 3)


@pytest.mark.parametrize(
    "text", ["layer {", "layer { a ]", "layer: [ { a }", "state { ", "layer: [ { a } b", "x { ] }"]
)
def test_brackets_that_do_not_match_are_noticed(text: str) -> None:
    assert not find_blocks(text, 10_000).is_balanced


def test_looking_ends_after_so_many_tokens() -> None:
    found = find_blocks("layer { } " * 1000, 50)

    assert found.token_count == 51
    assert len(found.blocks) <= 17
