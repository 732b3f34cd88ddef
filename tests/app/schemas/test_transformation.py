from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.augmentation import Augmentation, Flip, QuadRotation
from app.preprocessing import Channels, Preprocessing
from app.schemas.transformation import TransformationFields

# The ranges of DIGITS, and of shift and cutout, which it has not.
RANGES = {
    "rotation_degrees": 180, "zoom": 1, "shift": 0.5, "hue": 0.5, "saturation": 0.5, "brightness": 0.5, "contrast": 5,
    "noise": 1, "cutout": 1,
}  # fmt: skip


def mirrors(form: TransformationFields) -> bool:
    return form.preprocessing(Preprocessing(Channels.GRAY, 28, 28)).mirror


def test_nothing_is_varied_by_default() -> None:
    form = TransformationFields()
    assert form.augmentation() == Augmentation()
    assert not mirrors(form)


@pytest.mark.parametrize(
    ("sent", "mirror", "rest"),
    [
        ({"flip": "none"}, False, Flip.NONE),
        ({"flip": ""}, False, Flip.NONE),
        ({"flip": "fliplr"}, True, Flip.NONE),
        ({"flip": "FlipUD"}, False, Flip.UP_DOWN),
        ({"flip": "fliplrud"}, True, Flip.UP_DOWN),
        ({"mirror": True}, True, Flip.NONE),
        ({"mirror": "on", "flip": "flipud"}, True, Flip.UP_DOWN),
        ({"mirror": "", "flip": "fliplr"}, True, Flip.NONE),
    ],
)
def test_an_image_is_mirrored_once_whichever_word_was_used(sent: dict[str, Any], mirror: bool, rest: Flip) -> None:
    form = TransformationFields.model_validate(sent)
    assert (mirrors(form), form.augmentation().flip) == (mirror, rest)
    assert form.augmentation().flip in ("none", "flipud")


@pytest.mark.parametrize(("name", "most"), RANGES.items())
def test_every_variation_has_its_range(name: str, most: float) -> None:
    for value in (0, most, str(most), "", None):
        form = TransformationFields.model_validate({name: value})
        assert getattr(form.augmentation(), name) == float(value or 0)
        assert form.augmentation().validate() == {}
    for value in (most * 1.01, -0.01, "much", "nan", True):
        with pytest.raises(ValidationError, match=f"Expected a number from 0 to {most:g}, found "):
            TransformationFields.model_validate({name: value})


def test_what_is_chosen_survives_the_row() -> None:
    chosen = {name: most / 2 for name, most in RANGES.items()} | {"flip": "flipud", "quad_rotation": "rot180"}
    settings = TransformationFields.model_validate(chosen).augmentation()
    assert settings == Augmentation.from_dict(chosen)
    assert Augmentation.from_dict(settings.to_dict()) == settings
    assert settings.quad_rotation == QuadRotation.BY_180


@pytest.mark.parametrize("kind", list(QuadRotation))
def test_turns_by_90_degrees_need_square_images(kind: QuadRotation) -> None:
    form = TransformationFields(quad_rotation=kind)
    assert form.transformation_problems(28, 28) == {}
    problems = form.transformation_problems(40, 28)
    assert problems == {} if kind in ("none", "rot180") else "(40 × 28)" in problems["quad_rotation"]
