"""Base models, the versions made from them, and their files."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from api.cli.connecting import DEFAULT_URL, After, AsJson, First, Url, run
from api.cli.output import percent, print_json, print_page, size
from api.client import Client, ClientError
from api.client.downloads import download
from api.client.exports import Export, ExportOptions
from api.client.results import Model, Version
from jobs.status import TaskStatus, VersionStatus
from training.export.spec import ExportFormat, MergeBase, WeightType

__all__ = ["add_to", "exported", "registered"]

POLL_SECONDS = 0.5
UNFINISHED = (TaskStatus.QUEUED, TaskStatus.RUNNING)


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    panel = "Models and versions"
    app.command(rich_help_panel=panel)(models)
    app.command(rich_help_panel=panel)(register)
    app.command(rich_help_panel=panel)(versions)
    app.command(rich_help_panel=panel)(export)


def models(
    url: Url = DEFAULT_URL, first: First = 20, after: After = None, as_json: AsJson = False
) -> None:
    """List the registered base models."""
    page = run(url, lambda client: client.models(first, after))
    if as_json:
        print_json(page.nodes)
        return
    rows = [
        (
            each.name,
            each.status.value,
            each.architecture or "-",
            f"{each.parameter_count:,}" if each.parameter_count else "-",
            str(each.context_length or "-"),
            each.licence or "-",
            each.source,
        )
        for each in page.nodes
    ]
    columns = ("NAME", "STATUS", "ARCHITECTURE", "PARAMETERS", "CONTEXT", "LICENCE", "SOURCE")
    print_page(page, columns, rows)


def register(
    name: Annotated[str, typer.Argument(help="A name not in use yet.")],
    source: Annotated[str, typer.Argument(help="A folder on the server, or a hub id.")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Register a base model, and wait until the server has seen that it loads."""
    if Path(source).is_dir():
        source = str(Path(source).absolute())
    model = run(url, lambda client: registered(client, name, source))
    if as_json:
        print_json(model)
    else:
        count = f"{model.parameter_count:,}" if model.parameter_count else "an unknown number of"
        typer.echo(f"{model.name} is READY: {model.architecture}, {count} parameters.")


async def registered(client: Client, name: str, source: str) -> Model:
    """The registered model, once it is READY. ClientError where it does not load."""
    model: Model | None = await client.register_model(name, source)
    while model is not None and model.status in UNFINISHED:
        await asyncio.sleep(POLL_SECONDS)
        model = await client.model(name)
    if model is None:
        raise ClientError(f"The model {name!r} is gone.")
    if model.error is not None:
        raise ClientError(f"{name} does not load: {model.error.message}", model.error.remedy)
    return model


def versions(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    status: Annotated[
        VersionStatus | None,
        typer.Option(case_sensitive=False, help="Only those that stand there."),
    ] = None,
    url: Url = DEFAULT_URL,
    first: First = 20,
    after: After = None,
    as_json: AsJson = False,
) -> None:
    """List the versions of a model: those trained, those being trained, and those that FAILED."""
    page = run(url, lambda client: client.versions(model, status=status, first=first, after=after))
    if as_json:
        print_json(page.nodes)
        return
    columns = ("ID", "VERSION", "STATUS", "LOSS", "ACCURACY", "WEIGHTS", "SIZE", "BEGUN", "NOTE")
    print_page(page, columns, map(_version_row, page.nodes))


def _version_row(version: Version) -> tuple[str, ...]:
    figures = version.metadata
    begun = version.training_date.strftime("%Y-%m-%d %H:%M")
    if figures is None:
        why = version.error.message if version.error else f"by {version.job.id}"
        return version.id, version.version, version.status.value, "-", "-", "-", "-", begun, why
    return (
        version.id,
        version.version,
        version.status.value,
        f"{figures.loss:.4f}",
        percent(version.accuracy),
        "adapter" if figures.adapter else "whole model",
        size(figures.size_bytes),
        begun,
        "",
    )


def export(  # noqa: PLR0913 - each is an option of the command
    version: Annotated[str, typer.Argument(help="The version's id.")],
    output: Annotated[Path | None, typer.Option(help="Fetch the files into this folder.")] = None,
    export_format: Annotated[
        ExportFormat, typer.Option("--format", case_sensitive=False, help="The file format.")
    ] = ExportFormat.SAFETENSORS,
    adapter_only: Annotated[
        bool, typer.Option("--adapter-only", help="The adapter alone.")
    ] = False,
    weights: Annotated[
        WeightType | None,
        typer.Option(case_sensitive=False, help="What to store weights in; with ONNX and GGUF."),
    ] = None,
    shard_bytes: Annotated[
        int | None, typer.Option(help="The largest weight file; with SAFETENSORS.")
    ] = None,
    merge_base: Annotated[
        MergeBase | None,
        typer.Option(case_sensitive=False, help="What an adapter is merged into; with QLORA."),
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Export a version, wait until its files are proved, and fetch them if asked to."""

    options = ExportOptions(
        format=export_format,
        adapter_only=adapter_only,
        weight_type=weights,
        shard_bytes=shard_bytes,
        merge_base=merge_base,
    )

    async def work(client: Client) -> Export:
        made = await exported(client, version, options)
        if output is not None:
            await download(url, made.files, output)
        return made

    made = run(url, work)
    if as_json:
        print_json(made)
        return
    for file in made.files:
        typer.echo(f"{file.sha256}  {file.name}  {size(file.size_bytes)}")
    bits = f", {made.bits_per_weight:.3g} bits per weight" if made.bits_per_weight else ""
    typer.echo(f"{made.id} is READY: {size(made.size_bytes)}{bits}, sha256 {made.sha256}")


async def exported(client: Client, version_id: str, options: ExportOptions) -> Export:
    """The export, once it is READY. ClientError where it failed."""
    export: Export | None = await client.export_version(version_id, options)
    while export is not None and export.status in UNFINISHED:
        await asyncio.sleep(POLL_SECONDS)
        export = await client.export(export.id)
    if export is None:
        raise ClientError("The export is gone.")
    if export.error is not None:
        raise ClientError(f"The export failed: {export.error.message}", export.error.remedy)
    return export
