"""Where a trained net expects other input than a new one will be fed: the commonest mistake in fine-tuning. Pure."""

from __future__ import annotations

from app.preprocessing import MeanMode, Preprocessing

SAME_SCALE = 0.01  # relative; 1/255 and 1/256 count as the same
SAME_MEAN = 10.0  # of 255, per channel
MEANS = {MeanMode.NONE: "no mean", MeanMode.IMAGE: "a mean image", MeanMode.PIXEL: "a mean pixel"}


def differences(expected: Preprocessing, chosen: Preprocessing) -> list[str]:
    """One sentence for each thing that a trained net got in another way; empty where it will feel at home."""
    found = []
    if expected.channels is not chosen.channels:
        found.append(f"It was trained on {expected.channels} images; these are {chosen.channels}.")
    if expected.input_shape[1:] != chosen.input_shape[1:]:
        found.append(f"It was trained on inputs of {_size(expected)}; these are {_size(chosen)}.")
    if abs(expected.scale - chosen.scale) > SAME_SCALE * max(abs(expected.scale), abs(chosen.scale)):
        found.append(f"Its pixels were multiplied by {expected.scale:g}; here they are by {chosen.scale:g}.")
    if _has_other_mean(expected, chosen):
        found.append(f"It had {_mean(expected)} subtracted; here it is {_mean(chosen)}.")
    return found


def _has_other_mean(expected: Preprocessing, chosen: Preprocessing) -> bool:
    """An image and a pixel both centre the input; two pixels are compared."""
    if (expected.mean is MeanMode.NONE) != (chosen.mean is MeanMode.NONE):
        return True
    pairs = zip(expected.mean_values, chosen.mean_values, strict=False)
    return expected.channels is chosen.channels and any(abs(one - other) > SAME_MEAN for one, other in pairs)


def _mean(preprocessing: Preprocessing) -> str:
    values = ", ".join(f"{value:.4g}" for value in preprocessing.mean_values)
    return MEANS[preprocessing.mean] + (f" ({values})" if values else "")


def _size(preprocessing: Preprocessing) -> str:
    return f"{preprocessing.input_width} × {preprocessing.input_height}"
