"""Steering jobs: cancel, pause, resume, and their checkpoints."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import typer

from api.cli.connecting import DEFAULT_URL, AsJson, Url, run
from api.cli.output import print_json, print_table, size
from api.cli.runs import JobId
from api.client import Client, ClientError
from api.client.checkpoints import Checkpoint
from api.client.results import Job

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    panel = "Training"
    app.command(rich_help_panel=panel)(cancel)
    app.command(rich_help_panel=panel)(pause)
    app.command(rich_help_panel=panel)(resume)
    app.command("checkpoints", rich_help_panel=panel)(checkpoints)
    app.command("save-checkpoint", rich_help_panel=panel)(save_checkpoint)
    app.command("cleanup", rich_help_panel=panel)(cleanup)


def cancel(job: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Stop a job; one that runs saves a checkpoint first."""
    _steer(url, lambda client: client.cancel(job), as_json=as_json)


def pause(job: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Let a job rest; one that runs saves a checkpoint first."""
    _steer(url, lambda client: client.pause(job), as_json=as_json)


def resume(job: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Let a paused job go on from its newest checkpoint."""
    _steer(url, lambda client: client.resume(job), as_json=as_json)


def save_checkpoint(job: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Ask a running job for a checkpoint after the step under way."""
    _steer(url, lambda client: client.save_checkpoint(job), as_json=as_json)


def checkpoints(job: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List a job's stored checkpoints; `train --from ID` starts from one."""
    stored = run(url, lambda client: client.checkpoints(job))
    if stored is None:
        raise ClientError(f"There is no job {job!r} that you can see.", "List them: tunery jobs")
    if as_json:
        print_json(stored)
    else:
        _print(stored)


def cleanup(
    job: JobId,
    keep_best: Annotated[int, typer.Option(min=0, help="How many of the best stay.")] = 1,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Delete the checkpoints of a job that has ended or is paused, but the best."""
    cleaned = run(url, lambda client: client.clean_up(job, keep_best))
    if as_json:
        print_json(cleaned)
        return
    typer.echo(f"{len(cleaned.deleted)} checkpoints deleted, {size(cleaned.freed_bytes)} freed.")
    _print(cleaned.kept)


def _steer(url: str, deed: Callable[[Client], Awaitable[Job]], *, as_json: bool) -> None:
    job = run(url, deed)
    if as_json:
        print_json(job)
    else:
        typer.echo(f"{job.id} is {job.status.value}.")


def _print(stored: Sequence[Checkpoint]) -> None:
    columns = ("ID", "NAME", "EPOCH", "STEP", "LOSS", "SIZE", "NOTES", "MADE")
    rows = [
        (
            each.id,
            each.name,
            str(each.epoch),
            str(each.step),
            "-" if each.score is None else f"{each.score:.4f}",
            size(each.size_bytes),
            ", ".join(("best",) * each.best + ("asked for",) * each.requested) or "-",
            each.created_at.strftime("%Y-%m-%d %H:%M"),
        )
        for each in stored
    ]
    print_table(columns, rows)
