"""Says what a picture shows, as Trainyard's own test page does.

    python predict.py PICTURE [PICTURE …]
    python predict.py --with pytorch PICTURE

Without --with it takes the first form of the net that lies beside it: onnx (needs onnxruntime), pytorch (torch,
safetensors) or caffe (opencv-python below 5). Besides Python 3.11, numpy, pillow, and preprocess.py, which is the code
that made the training images.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from preprocess import PREPROCESSING, ImageError, MeanMode, load

HERE = Path(__file__).resolve().parent
FORMS = {"onnx": "model.onnx", "pytorch": "model.py", "caffe": "weights.caffemodel"}
TOP = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    found = [form for form, file in FORMS.items() if (HERE / file).is_file()]
    parser.add_argument("--with", dest="form", choices=found, default=found[0])
    options = parser.parse_args()
    predict = predictor(options.form)
    labels = (HERE / "labels.txt").read_text("utf-8").removesuffix("\n").split("\n")
    for picture in options.pictures:
        try:
            probabilities = predict(picture)
        except (ImageError, OSError) as error:
            sys.exit(f"{picture}: {error}")
        print(picture)
        for place in np.argsort(-probabilities[: len(labels)], kind="stable")[:TOP]:
            print(f"  {100 * probabilities[place]:6.2f} %  {labels[place]}")


def predictor(form):
    """A function from the path of a picture to the probability of every class."""
    forward = {"onnx": with_onnx, "pytorch": with_pytorch, "caffe": with_caffe}[form]()
    return lambda picture: forward(load(picture)).reshape(-1)


def with_onnx():
    import onnxruntime

    session = onnxruntime.InferenceSession(HERE / "model.onnx")  # prepares pixels itself; takes RGB
    return lambda pixels: session.run(None, {"pixels": pixels[None, :, :, ::-1]})[0]


def with_pytorch():
    import torch
    from model import Net

    net = Net.load()
    return lambda pixels: net(torch.from_numpy(prepared(pixels))).detach().numpy()


def with_caffe():
    import cv2

    net = cv2.dnn.readNetFromCaffe(str(HERE / "deploy.prototxt"), str(HERE / "weights.caffemodel"))
    return lambda pixels: (net.setInput(prepared(pixels)), net.forward())[1]


def prepared(pixels):
    """(1, C, H, W) float32 from pixels (H, W, C), BGR or grey: less the mean, the centre of it, times the scale."""
    choices = PREPROCESSING
    values = pixels.astype(np.float32).transpose(2, 0, 1)
    if choices.mean is MeanMode.PIXEL and choices.mean_values:
        values -= np.array(choices.mean_values, np.float32)[:, None, None]
    elif choices.mean is not MeanMode.NONE:
        mean = np.load(HERE / "mean.npy")
        is_image = choices.mean is MeanMode.IMAGE
        values -= (mean if is_image else mean.mean((1, 2), np.float64, keepdims=True)).astype(np.float32)
    top, left = (choices.height - choices.input_height) // 2, (choices.width - choices.input_width) // 2
    window = values[:, top : top + choices.input_height, left : left + choices.input_width]
    return np.ascontiguousarray(window[None] * np.float32(choices.scale))


if __name__ == "__main__":
    main()
