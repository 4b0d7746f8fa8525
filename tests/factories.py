"""Rows for tests, made through the service's own functions where there is one."""

from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import uuid4

from argon2 import PasswordHasher

from jobs.access import Role, Viewer
from jobs.data import datasets, lineage
from jobs.data.datasets import Draft
from jobs.database import transaction
from jobs.models import BaseModel, Dataset, TrainingJob, User
from jobs.runs import lifecycle
from jobs.runs.lifecycle import RunRequest
from jobs.service import Service
from jobs.status import TaskStatus
from training.config import DataType, TrainingType
from training.data.derivation import Changes
from training.estimates import EstimateMethod, MemoryEstimate
from training.models.facts import Linear, ModelFacts, ModelShape, TokenizerFacts

PASSWORD = "correct horse battery"

QA = [{"question": f"What is {n} and {n}?", "answer": f"It is {2 * n}."} for n in range(20)]

SHAPE = ModelShape(
    model_type="llama",
    hidden_size=128,
    intermediate_size=256,
    heads=4,
    key_value_heads=2,
    head_size=32,
    vocabulary_size=1000,
    head_is_tied=True,
    embedding_parameters=128_000,
    layer_parameters=147_712,
    linears=(
        Linear(name="self_attn.q_proj", inputs=128, outputs=128, biased=False),
        Linear(name="mlp.down_proj", inputs=256, outputs=128, biased=False),
    ),
    activation="silu",
    attention_dropout=0.0,
)

FACTS = ModelFacts(
    architecture="LlamaForCausalLM",
    parameter_count=1_000_000,
    layer_count=4,
    linear_parameters=800_000,
    shape=SHAPE,
    tokenizer=TokenizerFacts(bytes_per_token=4.0, tokens_per_message=5.0),
    context_length=2048,
    licence="apache-2.0",
    has_chat_template=True,
    dtype="float32",
    size_bytes=4_000_000,
    sha256="0" * 64,
)

MEMORY = MemoryEstimate(
    weights=270_000_000,
    gradients=20_000_000,
    optimizer=40_000_000,
    activations=900_000_000,
    logits=1_500_000_000,
    base=500_000_000,
    peak=3_230_000_000,
    available=2_000_000_000,
    method=EstimateMethod.DRY_RUN,
)
"""More than there is."""


async def make_viewer(role: Role = Role.TRAINER, email: str | None = None) -> Viewer:
    """An account and whoever is logged in to it."""
    email = email or f"{uuid4().hex}@example.org"
    user = await User.create(email=email, password_hash=_password_hash(), role=role)
    return Viewer(user.id, user.email, Role(user.role))


@cache
def _password_hash() -> str:
    """Of `PASSWORD`, with little work: those of the service are slow on purpose, to make and to check."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


async def make_model(
    viewer: Viewer, *, source: str = "/nowhere", name: str | None = None
) -> BaseModel:
    """A base model that is READY without having been looked at."""
    return await BaseModel.create(
        name=name or f"model-{uuid4().hex[:8]}",
        source=source,
        status=TaskStatus.READY,
        facts=FACTS.model_dump(mode="json"),
        owner_id=viewer.user_id,
    )


async def make_dataset(viewer: Viewer, service: Service, **changes: Any) -> Dataset:
    """Twenty question-answer pairs."""
    draft: dict[str, Any] = {
        "name": "sums",
        "description": None,
        "data_type": DataType.QA,
        "records": QA,
    }
    return await datasets.create(viewer, Draft(**draft | changes), artifacts=service.artifacts)


async def make_version(
    viewer: Viewer, service: Service, parent: Dataset, records: Sequence[object], **changes: Any
) -> Dataset:
    """A dataset of these records that descends from another, without a worker's having derived it."""
    child = await make_dataset(viewer, service, records=records, **changes)
    removed = parent.record_count - child.record_count
    made = Changes(added=0, removed=removed, removed_lines=(), removed_lines_complete=True)
    async with transaction():
        await lineage.add(parent, child, made)
    return child


async def make_job(viewer: Viewer, service: Service, **choices: Any) -> TrainingJob:
    """A QUEUED job over a model and a dataset of its own."""
    model = await make_model(viewer)
    dataset = await make_dataset(viewer, service)
    request = RunRequest(model.id, dataset.id, TrainingType.LORA, choices)
    return await lifecycle.submit(viewer, request, settings=service.settings, queue=service.queue)
