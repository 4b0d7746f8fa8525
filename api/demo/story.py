"""The demo itself, told through the API alone: account, model, data, training, version, export."""

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

from rich.table import Table
from rich.text import Text

from api.cli.models import exported, registered
from api.cli.output import percent, size
from api.cli.watching import watch
from api.client import Client, RunOptions
from api.client.events import EpochCompleted, JobFinished
from api.client.exports import Export, ExportOptions
from api.client.results import EpochMetrics, Sample, Version, VersionMetadata
from api.client.runs import DataOptions, Hyperparameters
from api.demo.assets import PROMPTS, model_folder, questions
from api.demo.service import LocalService
from api.demo.steps import DemoError, Steps
from jobs.status import JobStatus, VersionStatus
from training.config import DataType, TrainingType

__all__ = ["answers_changed", "judge_training", "tell"]

EMAIL: Final = "demo@example.org"
MODEL: Final = "smollm2-135m-instruct"
OPTIONS: Final = RunOptions(
    training_type=TrainingType.LORA,
    hyperparameters=Hyperparameters(
        learning_rate=5e-4,
        batch_size=8,
        epochs=3,
        warmup_steps=5,
        max_sequence_length=128,
    ),
    data=DataOptions(validation_split=0.1),
    sample_prompts=PROMPTS,
)


async def tell(folder: Path, steps: Steps, *, source: str | None) -> None:
    """Run the whole demo in `folder`. `source` is another base model: a folder or a hub id.

    Raises DemoError where anything that it promises did not come true.
    """
    packages = folder / "packages"
    if source is None:
        async with steps.step("Making a checkpoint of SmolLM2-135M-Instruct") as step:
            made = await model_folder(packages, folder / "model", folder / "convert.log")
            step.outcome = str(made)
        source = str(made)
    async with steps.step("Reading the questions") as step:
        records, duplicates = questions(packages)
        step.outcome = f"{len(records)} of chatterbot-corpus, {duplicates} duplicates left out"
    service = LocalService(folder)
    async with service.running(steps):
        async with steps.step("Making an account: `tunery create-user`"):
            password = await service.create_account(EMAIL)
        async with Client(service.url) as client:
            await client.login(EMAIL, password)
            version = await _train(client, steps, source=source, records=records)
            export = await _export(client, steps, version)
        _show(steps, version, export)
        steps.console.print(f"\nThe API was at [bold]{service.url}/graphql[/]")
    again = f"tunery up --home {service.home}"
    kept = f"All of it is kept in {service.home}; to go on with it: {again}"
    steps.console.print(kept, soft_wrap=True)


async def _train(
    client: Client, steps: Steps, *, source: str, records: Sequence[object]
) -> Version:
    async with steps.step("registerModel, and a look at whether it loads") as step:
        model = await registered(client, MODEL, source)
        step.outcome = f"{model.architecture}, {model.parameter_count or 0:,} parameters"
    async with steps.step("createDataset") as step:
        dataset = await client.create_dataset("questions", records, data_type=DataType.QA)
        step.outcome = f"{dataset.record_count} records, {size(dataset.size_bytes)}"
    job = await client.run(model.id, dataset.id, OPTIONS)
    steps.console.print(f"[green]✓[/] runPipeline: {job.id}; live from the websocket:\n")
    epochs: list[EpochMetrics] = []
    finished: JobFinished | None = None
    stream = watch(client.events(job.id), steps.console)
    async with aclosing(stream):
        async for event in stream:
            if isinstance(event, EpochCompleted):
                epochs.append(event.metrics)
            elif isinstance(event, JobFinished):
                finished = event
    judge_training(finished, epochs)
    page = await client.versions(MODEL)
    return page.nodes[0]


def judge_training(finished: JobFinished | None, epochs: Sequence[EpochMetrics]) -> None:
    """Raises DemoError unless the run completed and its loss fell."""
    if finished is None or finished.status is not JobStatus.COMPLETED:
        error = finished.error if finished else None
        raise DemoError(
            f"The training did not complete: {error.message if error else finished}",
            (error.remedy if error else None) or "Read the worker's log.",
        )
    if len(epochs) < 2 or not epochs[-1].training_loss < epochs[0].training_loss:
        losses = ", ".join(f"{each.training_loss:.4f}" for each in epochs)
        raise DemoError(f"The loss did not fall: {losses}.", "Read the worker's log.")


async def _export(client: Client, steps: Steps, version: Version) -> Export:
    if version.status is not VersionStatus.READY:
        raise DemoError(f"The version is {version.status.value}.", "Read the worker's log.")
    if not answers_changed(version.samples):
        raise DemoError("The answers did not change.", "Read the worker's log.")
    async with steps.step("exportModel: SafeTensors, loaded and compared") as step:
        export = await exported(client, version.id, ExportOptions())
        step.outcome = size(export.size_bytes)
    return export


def answers_changed(samples: Sequence[Sample]) -> bool:
    """Whether every prompt was answered twice, and differently."""
    return len(samples) == len(PROMPTS) and all(
        each.before is not None and each.after is not None and each.before != each.after
        for each in samples
    )


def _show(steps: Steps, version: Version, export: Export) -> None:
    answers = Table("asked", "before", "after", title="Answers", show_lines=True, expand=True)
    for each in version.samples:
        answers.add_row(Text(each.prompt), Text(each.before or ""), Text(each.after or ""))
    facts = Table(title="Made", show_header=False, expand=True)
    facts.add_column()
    facts.add_column(overflow="fold")
    rows = [
        ("version", f"{version.version} · {version.status.value} · {version.id}"),
        *_figures(version.metadata),
        ("export", f"SafeTensors · {export.status.value} · {size(export.size_bytes)}"),
        ("sha256", export.sha256 or "-"),
    ]
    rows += [
        (file.name, f"{size(file.size_bytes)} · {file.sha256}")
        for file in export.files
        if file.name.endswith(".safetensors")
    ]
    if export.parity is not None:
        same = "the same tokens" if export.parity.tokens_equal else "OTHER TOKENS"
        rows.append(
            (
                "parity",
                f"{same} as the trained model; KL divergence {export.parity.kl_divergence:.1e}, "
                f"the likeliest next token agrees at {export.parity.top1_agreement:.1%}",
            )
        )
    for name, value in rows:
        facts.add_row(name, Text(value))
    steps.console.print("", answers, facts)


def _figures(found: VersionMetadata | None) -> list[tuple[str, str]]:
    if found is None:
        return []
    return [
        ("loss", f"{found.loss:.4f}, validation accuracy {percent(found.validation_accuracy)}"),
        ("trained", f"{found.trainable_parameters:,} parameters, {found.trained_tokens:,} tokens"),
    ]
