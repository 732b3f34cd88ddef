from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from app.export.model_source import model_source
from app.preprocessing import Channels, Preprocessing
from tests.app.export.judged import generated_names, saved
from tests.app.export.nets import LAYERS, deployed, layer_text, zoo_net


def test_the_module_can_be_trained_on_but_for_its_statistics(tmp_path: Path) -> None:
    text, net, preprocessing = zoo_net("mobilenet", 32)
    module = generated_names(saved(text, net, preprocessing, tmp_path), tmp_path)["Net"].load()
    module(torch.randn(2, 3, 32, 32)).square().sum().backward()
    learned = {name: value for name, value in zip(module.names, module.weights, strict=True) if value.requires_grad}
    assert set(learned) == {name for name, weight in net.weights().items() if weight.learned}
    assert all(value.grad is not None for value in learned.values())


def test_blobs_become_names_of_their_own(tmp_path: Path) -> None:
    preprocessing = Preprocessing(Channels.COLOR, 9, 7)
    text = layer_text(LAYERS["names that are no names"])
    source = model_source(saved(text, deployed(text, preprocessing.input_shape), preprocessing, tmp_path))
    assert "    a_b = torch.tanh(data)  # 'inception/1×1'\n" in source
    assert "    a_b_2 = torch.sigmoid(a_b)  # '層😀'\n" in source
    assert "    return blob_for.flatten(1)\n" in source


def test_the_file_needs_nothing_of_ours(tmp_path: Path) -> None:
    text, net, preprocessing = zoo_net("lenet", 28)
    (tmp_path / "model.py").write_text(model_source(saved(text, net, preprocessing, tmp_path)), encoding="utf-8")
    code = "import sys, torch, model; print(tuple(model.Net.load()(torch.zeros(2, *model.INPUT)).shape)); " \
           "print('app' in sys.modules, 'worker' in sys.modules)"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["(2, 10)", "False False"]
