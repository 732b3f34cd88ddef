from __future__ import annotations

import pytest
import torch

from tests.worker.engine.oracle import close, gradients_agree, module, put, random
from worker.engine.errors import EngineError

FILLED = 'weight_filler { type: "gaussian" } bias_filler { type: "gaussian" }'


def test_it_reads_an_image_channel_by_channel_whatever_its_memory_layout() -> None:
    images = random(2, 3, 4, 5)
    tested = module(f'type: "InnerProduct" inner_product_param {{ num_output: 6 {FILLED} }}', (2, 3, 4, 5))
    expected = images.reshape(2, 60) @ tested.blob("weight").cpu().t() + tested.blob("bias").cpu()
    assert close(tested(put(images)), expected)
    assert close(tested(put(images).to(memory_format=torch.channels_last)), expected)
    assert gradients_agree(tested, images)


def test_a_later_axis_keeps_the_earlier_ones() -> None:
    values = random(2, 3, 4)
    tested = module(f'type: "InnerProduct" inner_product_param {{ num_output: 5 axis: 2 {FILLED} }}', (2, 3, 4))
    expected = torch.einsum("nck,ok->nco", values, tested.blob("weight").cpu()) + tested.blob("bias").cpu()
    assert close(tested(put(values)), expected)


def test_transposed_weights_are_inputs_by_outputs() -> None:
    values = random(2, 4)
    options = f"num_output: 3 transpose: true bias_term: false {FILLED}"
    tested = module(f'type: "InnerProduct" inner_product_param {{ {options} }}', (2, 4))
    assert tested.blob("weight").shape == (4, 3)
    assert list(tested.blobs) == ["weight"]
    assert close(tested(put(values)), values @ tested.blob("weight").cpu())
    assert gradients_agree(tested, values)


@pytest.mark.parametrize(
    ("options", "expected"), [("", "num_output: expected 1 or more"), ("num_output: 3 axis: 4", "axis 4 is outside")]
)
def test_an_impossible_option_is_named(options: str, expected: str) -> None:
    with pytest.raises(EngineError) as error:
        module(f'type: "InnerProduct" inner_product_param {{ {options} }}', (2, 3, 4, 4))
    assert expected in str(error.value)
