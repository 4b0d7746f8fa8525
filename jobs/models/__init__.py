"""The tables, a file per noun."""

from jobs.models.activations import Activation
from jobs.models.audit import AuditEntry
from jobs.models.base_models import BaseModel, ModelVersion
from jobs.models.dataset_versions import DatasetVersion
from jobs.models.datasets import Dataset
from jobs.models.derivations import Derivation
from jobs.models.evaluations import Evaluation
from jobs.models.examinations import Examination
from jobs.models.exports import Export
from jobs.models.generations import Generation
from jobs.models.token_examinations import TokenExamination
from jobs.models.training_jobs import Checkpoint, Epoch, JobEvent, TrainingJob
from jobs.models.uploads import Upload
from jobs.models.users import User
from jobs.models.workers import Worker

__all__ = [
    "Activation",
    "AuditEntry",
    "BaseModel",
    "Checkpoint",
    "Dataset",
    "DatasetVersion",
    "Derivation",
    "Epoch",
    "Evaluation",
    "Examination",
    "Export",
    "Generation",
    "JobEvent",
    "ModelVersion",
    "TokenExamination",
    "TrainingJob",
    "Upload",
    "User",
    "Worker",
]
