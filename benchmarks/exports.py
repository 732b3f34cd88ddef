"""Do others give our answers? Every net of the zoo, as it is drawn and after some training, on 20 real pictures.

    scripts/bench exports FOLDER_WITH/mnist-test.zip_AND_cifar10-test.zip [--only lenet,vgg16] [--seconds 60]

Judges: OpenCV's importer of Caffe nets on deploy.prototxt and weights.caffemodel, ONNX Runtime on model.onnx, which
prepares the pixels itself, and PyTorch on model.py. The figure is the largest difference of any probability from our
own forward pass in float32. All nets have their own image size and 10 classes; colour nets see CIFAR-10's pictures
scaled up, LeNet sees MNIST's. "Confidence" is the mean probability of the best class: 10 % for a net that knows
nothing. Statistics of BatchNorm, of which a drawn net has none, are taken as mean 0 and variance 1.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from app.export.caffemodel import caffemodel
from app.export.model_source import model_source
from app.export.onnx_model import onnx_model
from app.export.pieces import Piece, PieceReader
from app.export.trained_net import TrainedNet, trained_net
from app.imaging.preprocess import load_image
from app.preprocessing import Channels, MeanMode, Preprocessing
from app.solver.spec import LrPolicy, SolverSpec
from app.topology.deploy import deploy_net
from app.topology.fit import fit
from app.topology.text import read
from app.topology.writing import deploy_text
from app.topology.zoo import ZooEntry, zoo
from benchmarks.training import Clock
from worker.datasets.build import BuildSpec, build
from worker.engine.compile import CompiledNet, compile_net
from worker.engine.device import set_up_device
from worker.engine.pixels import PixelTransform
from worker.engine.predict import load_deployed
from worker.engine.snapshot import WEIGHTS
from worker.engine.train import TrainSpec, train

JUDGES = ("OpenCV", "ONNX Runtime", "model.py")
PER_CLASS = 30  # of the pictures that a net is trained on; two more of each class are judged
CROPPED = {"alexnet": 256, "caffenet": 256, "googlenet": 256}  # the size of the images, as their authors had it
BATCHES = {"lenet": 64, "cifar10-quick": 64}  # otherwise 8

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """A net with what it is trained on and judged by."""

    entry: ZooEntry
    topology: str
    preprocessing: Preprocessing
    dataset: Path
    classes: tuple[str, ...]
    pixels: NDArray[np.uint8]  # (20, H, W, C), BGR or grey


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="ids of the zoo, with commas between them")
    parser.add_argument("--seconds", type=float, default=60, help="of training, for each net")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    set_up_device("cpu", options.threads)
    cv2.setNumThreads(options.threads)
    versions = f"torch {torch.__version__}, OpenCV {cv2.__version__}, ONNX Runtime {onnxruntime.__version__}"
    print(f"Largest difference of a probability, 20 pictures, {versions}\n")
    print(f"| net | {' | '.join(JUDGES)} | confidence | trained for | {' | '.join(JUDGES)} | confidence |")
    print("|---" * (2 * len(JUDGES) + 4) + "|")
    for entry in zoo():
        if not options.only or entry.id in options.only.split(","):
            print(row(entry, options), flush=True)


def row(entry: ZooEntry, options: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subject = prepared_subject(entry, options.folder, folder)
        drawn = judged(subject, drawn_weights(subject, folder / "drawn"))
        iterations, weights = trained_weights(subject, folder / "model", options)
        return (
            " | ".join([f"| {entry.name}", *drawn, f"{iterations} × {batch_of(entry)}", *judged(subject, weights)])
            + " |"
        )


def prepared_subject(entry: ZooEntry, archives: Path, folder: Path) -> Subject:
    source = archives / ("mnist-test.zip" if entry.channels == 1 else "cifar10-test.zip")
    channels = Channels.GRAY if entry.channels == 1 else Channels.COLOR
    side = CROPPED.get(entry.id, entry.image_size)
    few, shown = folder / "few.zip", []
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(few, "w") as part:
        classes = sorted({name.split("/")[0] for name in whole.namelist() if "/" in name})
        for label in classes:
            names = sorted(name for name in whole.namelist() if name.startswith(f"{label}/") and name[-1] != "/")
            for picture in names[:PER_CLASS]:
                part.writestr(picture, whole.read(picture))
            shown += [whole.read(picture) for picture in names[PER_CLASS : PER_CLASS + 2]]
    dataset = folder / "dataset"
    build(BuildSpec(few, few.name, dataset, entry.id, 100, 0, 0, channels, side, side), lambda _: None, lambda: False)
    preprocessing = Preprocessing(channels, side, side, mean=MeanMode.IMAGE, scale=1 / 64,
                                  crop_size=entry.image_size if side != entry.image_size else None)  # fmt: skip
    pixels = np.stack([load_image(data, preprocessing) for data in shown])
    return Subject(entry, fit(entry.prototxt, len(classes)), preprocessing, dataset, tuple(classes), pixels)


def batch_of(entry: ZooEntry) -> int:
    return BATCHES.get(entry.id, 8)


def drawn_weights(subject: Subject, folder: Path) -> Path:
    net = deploy_net(read(subject.topology))
    compiled = compile_net(net, {net.inputs[0]: (1, *subject.preprocessing.input_shape)}, seed=1)
    folder.mkdir()
    values = {name: weight.value.clone() for name, weight in compiled.weights().items()}  # some may be shared
    for name, value in values.items():
        if name.endswith((".variance", ".factor")):  # BatchNorm has counted nothing yet: as if it had seen variance 1
            value.fill_(1)
    save_file(values, folder / WEIGHTS)
    return folder


class Deadline(Clock):
    """Asks the training to stop when its time is over; never before the second step."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.steps = 0
        self.began = time.perf_counter()

    def should_stop(self) -> bool:
        """Asked before every step."""
        self.steps += 1
        self.began = time.perf_counter() if self.steps == 1 else self.began
        return self.steps > 2 and time.perf_counter() - self.began > self.seconds


def trained_weights(subject: Subject, folder: Path, options: argparse.Namespace) -> tuple[int, Path]:
    """How many steps were done in the time, and the snapshot."""
    solver = SolverSpec(epochs=1_000, batch_size=batch_of(subject.entry), base_lr=0.005, lr_policy=LrPolicy.FIXED,
                        val_interval=0, snapshot_interval=0, clip_gradients=5.0, precision="float32")  # fmt: skip
    spec = TrainSpec(subject.topology, subject.preprocessing, solver, subject.dataset, subject.classes, folder,
                     threads=options.threads)  # fmt: skip
    done = train(spec, Deadline(options.seconds))
    return done.iteration, next((folder / "snapshots").glob("epoch-*"))


def judged(subject: Subject, snapshot: Path) -> list[str]:
    """A cell per judge, and how sure the net is."""
    net = trained_net(
        subject.topology, subject.preprocessing, subject.classes, snapshot / WEIGHTS, subject.dataset / "mean.npy"
    )
    transform = PixelTransform(subject.preprocessing, subject.dataset, torch.device("cpu"))
    images = transform.central(torch.from_numpy(subject.pixels)).contiguous()
    wanted = ours(subject, snapshot, images)
    answers = (by_opencv(net, images.numpy()), by_onnx_runtime(net, subject.pixels), by_pytorch(net, images, snapshot))
    cells = [f"{np.abs(found - wanted).max():.1e}" for found in answers]
    return [*cells, f"{100 * wanted.max(axis=1).mean():.0f} %"]


def ours(subject: Subject, snapshot: Path, images: torch.Tensor) -> Floats:
    compiled: CompiledNet = load_deployed(subject.topology, subject.preprocessing, snapshot, torch.device("cpu"))
    with torch.inference_mode():
        parts = [compiled(image[None]).blobs[compiled.net.outputs[0]].reshape(1, -1) for image in images]
    return torch.cat(parts).numpy()


def by_opencv(net: TrainedNet, images: Floats) -> Floats:
    with files(deploy=deploy_text(net.source.text, net.preprocessing, len(net.classes)), weights=caffemodel(net)) as (
        deploy,
        weights,
    ):
        judge = cv2.dnn.readNetFromCaffe(str(deploy), str(weights))
    answers = []
    for image in images:
        judge.setInput(image[None])
        answers.append(judge.forward().reshape(-1).copy())
    return np.stack(answers)


def by_onnx_runtime(net: TrainedNet, pixels: NDArray[np.uint8]) -> Floats:
    with files(model=onnx_model(net)) as (model,):
        session = onnxruntime.InferenceSession(model)
    return np.concatenate([session.run(None, {"pixels": one[None, :, :, ::-1]})[0] for one in pixels])


def by_pytorch(net: TrainedNet, images: torch.Tensor, snapshot: Path) -> Floats:
    names: dict[str, Any] = {"__name__": "model", "__file__": str(snapshot / "model.py")}
    exec(compile(model_source(net), "model.py", "exec"), names)
    with torch.inference_mode():
        weights = load_file(snapshot / WEIGHTS)
        return torch.cat([names["forward"](weights, image[None]) for image in images]).numpy()


@contextmanager
def files(**contents: str | Sequence[Piece]) -> Iterator[list[Path]]:
    """Each content as a file, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, content in contents.items():
            paths.append(Path(folder) / name)
            pieces = [content.encode()] if isinstance(content, str) else content
            with PieceReader(pieces) as source, paths[-1].open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        yield paths


if __name__ == "__main__":
    main()
