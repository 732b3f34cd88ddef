"""Records: one file each, with the verbs that change them. Importing this package registers every table."""

from app.db.account import ApiToken, SignInAttempt, User, WebSession
from app.db.base import Record
from app.db.dataset import Dataset, SourceUpload
from app.db.first_batch import FirstBatch
from app.db.job import Job, JobKind, Lane
from app.db.metric import Metric
from app.db.model import Model, Sweep
from app.db.prediction import Noun, Prediction, Subject
from app.db.pretrained import PretrainedNet
from app.db.session import Database
from app.db.snapshot import Snapshot
from app.db.status import Status
from app.db.topology import Topology
from app.db.upload import Upload
from app.db.worker import Worker

__all__ = [
    "ApiToken",
    "Database",
    "Dataset",
    "FirstBatch",
    "Job",
    "JobKind",
    "Lane",
    "Metric",
    "Model",
    "Noun",
    "Prediction",
    "PretrainedNet",
    "Record",
    "SignInAttempt",
    "Snapshot",
    "SourceUpload",
    "Status",
    "Subject",
    "Sweep",
    "Topology",
    "Upload",
    "User",
    "WebSession",
    "Worker",
]
