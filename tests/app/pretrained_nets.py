"""A small net as people send it, and an import of it as a worker would do it."""

from __future__ import annotations

from typing import Any

import numpy as np
from safetensors.numpy import save as safetensors_bytes

from app.db import Database, Job, JobKind, PretrainedNet
from app.settings import Settings
from app.storage import Storage
from tests.worker.pretrained.caffemodels import Array
from worker.lease import Lease
from worker.run import do

DEPLOY = """name: "Small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 12 dim: 12 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 3 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1" inner_product_param { num_output: 3 } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""
COLOR = DEPLOY.replace("dim: 1 dim: 1 dim: 12", "dim: 1 dim: 3 dim: 12")
LABELS = "left\nmiddle\nright\n"


def arrays(channels: int = 1, seed: int = 4) -> dict[str, list[Array]]:
    """The blobs of every layer, in Caffe's order."""
    draw = np.random.default_rng(seed)
    shapes = {"conv1": [(6, channels, 3, 3), (6,)], "ip1": [(3, 150), (3,)]}
    return {name: [draw.normal(size=shape).astype(np.float32) for shape in one] for name, one in shapes.items()}


def named(layers: dict[str, list[Array]]) -> dict[str, Array]:
    return {f"{name}.{blob}": array for name, pair in layers.items()
            for blob, array in zip(("weight", "bias"), pair, strict=True)}  # fmt: skip


def safetensors(channels: int = 1) -> bytes:
    return safetensors_bytes(named(arrays(channels)))


def form(weights: bytes, filename: str = "small.caffemodel", **fields: Any) -> dict[str, Any]:
    """What a client sends, as arguments of a POST; bytes become files."""
    given = {"name": "Small", "prototxt": DEPLOY, "labels": LABELS} | fields
    files = {"weights": (filename, weights)}
    files |= {name: (name, value) for name, value in given.items() if isinstance(value, bytes)}
    return {"data": {name: str(value) for name, value in given.items() if not isinstance(value, bytes)}, "files": files}


def do_import(database: Database, settings: Settings, storage: Storage, pretrained_id: int) -> PretrainedNet:
    """Runs the job of a pretrained net; its row afterwards."""
    with database.write() as session:
        job = Job.claim(session, session.get_one(PretrainedNet, pretrained_id).job_id, "tests", 30)
    assert job is not None
    lease = Lease(database, job.id, job.attempt, lease_s=30, heartbeat_s=5)
    do(settings, database, storage, lease, JobKind(job.kind))
    with database.read() as session:
        return session.get_one(PretrainedNet, pretrained_id)
