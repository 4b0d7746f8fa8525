"""Training: start, check, follow and list jobs."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from api.cli.assignments import with_assignments
from api.cli.configs import read_options
from api.cli.connecting import DEFAULT_URL, After, AsJson, First, Url, dataset_id, run
from api.cli.facts import forecast_facts, job_facts
from api.cli.names import Dataset, Model, ids_of
from api.cli.output import (
    complain,
    finding_lines,
    print_json,
    print_page,
    print_table,
)
from api.cli.token_reports import count_for, is_uncounted
from api.cli.watching import watch as shown
from api.client import Client, ClientError, RunOptions
from api.client.events import Event, JobFinished
from api.client.results import Job, Validation
from api.client.runs import StartOptions
from jobs.status import JobStatus
from training.config import TrainingType

__all__ = ["JobId", "add_to"]

JobId = Annotated[str, typer.Argument(help="The job's id.")]
Config = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="A run configuration in TOML or JSON."),
]
Method = Annotated[
    TrainingType | None,
    typer.Option("--method", case_sensitive=False, help="Which parameters to train."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="NAME=VALUE",
        help="One option, such as epochs=3 or learningRate=2e-4; may be repeated.",
    ),
]
Prompt = Annotated[
    list[str] | None,
    typer.Option(help="Answered by the model before and after training; may be repeated."),
]

From = Annotated[
    str | None,
    typer.Option("--from", help="Start from the weights of this version or checkpoint, by its id."),
]
ValidateOn = Annotated[
    str | None,
    typer.Option(
        help="Test with this dataset, by its id or name, instead of a share of the other."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    panel = "Training"
    app.command(rich_help_panel=panel)(train)
    app.command(rich_help_panel=panel)(validate)
    app.command(rich_help_panel=panel)(watch)
    app.command(rich_help_panel=panel)(jobs)
    app.command(rich_help_panel=panel)(job)


def train(  # noqa: PLR0913  # each is an option of the verb
    model: Model,
    dataset: Dataset,
    config: Config = None,
    method: Method = None,
    assignments: Set = None,
    prompt: Prompt = None,
    start: From = None,
    validate_on: ValidateOn = None,
    follow: Annotated[bool, typer.Option("--watch", "-w", help="Follow the job.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Train a model on a dataset."""
    options = _starting(_options(config, method, assignments, prompt), start)

    async def work(client: Client) -> Job:
        model_id, data_id = await ids_of(client, model, dataset)
        return await client.run(model_id, data_id, await _tested(client, options, validate_on))

    started = run(url, work)
    if follow:
        watch(started.id, url=url, as_json=as_json)
    elif as_json:
        print_json(started)
    else:
        typer.echo(f"{started.id} is {started.status.value}; follow it: tunery watch {started.id}")


def validate(  # noqa: PLR0913  # each is an option of the verb
    model: Model,
    dataset: Dataset,
    config: Config = None,
    method: Method = None,
    assignments: Set = None,
    start: From = None,
    validate_on: ValidateOn = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Have a worker count what cannot be counted at once, and wait for it."
        ),
    ] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Ask the server what it would say to a run; nothing is started."""
    options = _starting(_options(config, method, assignments, None), start)

    async def work(client: Client) -> Validation:
        model_id, data_id = await ids_of(client, model, dataset)
        asked = await _tested(client, options, validate_on)
        said = await client.validate(model_id, data_id, asked)
        if not (wait and is_uncounted(said)):
            return said
        others = asked.data.validation_dataset_id
        data = [data_id, *([others] if others else [])]
        await count_for(client, said, model=model_id, datasets=data)
        return await client.validate(model_id, data_id, asked)

    validation = run(url, work)
    if as_json:
        print_json(validation)
    else:
        typer.echo("This run can start." if validation.valid else "This run cannot start.")
        for name, value in forecast_facts(validation):
            typer.echo(f"  {name}: {value}")
        if is_uncounted(validation) and not wait:
            typer.echo("  to have a worker count the records, add --wait")
        findings = (*validation.errors, *validation.warnings, *validation.recommendations)
        for line in finding_lines(findings):
            typer.echo(line)
    raise typer.Exit(0 if validation.valid else 1)


def watch(
    job: JobId,
    after: Annotated[int, typer.Option(min=0, help="Only events numbered above this.")] = 0,
    url: Url = DEFAULT_URL,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each event as a line of JSON.")
    ] = False,
) -> None:
    """Follow a job until it ends, from its first event on; leaves with 1 if it does not complete.

    A connection that breaks is made again.
    """

    async def work(client: Client) -> JobFinished | None:
        events = client.events(job, after)
        async with aclosing(events):
            stream = _as_json_lines(events) if as_json else shown(events, Console())
            async with aclosing(stream):
                async for event in stream:
                    if isinstance(event, JobFinished):
                        return event
        return None

    finished = run(url, work)
    status = finished.status if finished else run(url, lambda client: _status(client, job))
    if status is JobStatus.FAILED and finished is not None and finished.error is not None:
        complain(f"The job failed: {finished.error.message}", finished.error.remedy)
    raise typer.Exit(0 if status is JobStatus.COMPLETED else 1)


def jobs(
    status: Annotated[
        JobStatus | None, typer.Option(case_sensitive=False, help="Only those that stand here.")
    ] = None,
    url: Url = DEFAULT_URL,
    first: First = 20,
    after: After = None,
    as_json: AsJson = False,
) -> None:
    """List training jobs, newest first."""
    page = run(url, lambda client: client.jobs(status, first=first, after=after))
    if as_json:
        print_json(page.nodes)
        return
    rows = [
        (
            each.id,
            each.status.value,
            f"{each.progress:.0f}%",
            each.model.name,
            each.dataset_name,
            f"{each.current_epoch}/{each.total_epochs}",
            "-" if each.training_loss is None else f"{each.training_loss:.4f}",
            each.created_at.strftime("%Y-%m-%d %H:%M"),
        )
        for each in page.nodes
    ]
    columns = ("ID", "STATUS", "DONE", "MODEL", "DATASET", "EPOCH", "LOSS", "MADE")
    print_page(page, columns, rows)


def job(job: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Show a job as it stands."""
    found = run(url, lambda client: _job(client, job))
    if as_json:
        print_json(found)
    else:
        print_table(("WHAT", "VALUE"), job_facts(found))


def _options(
    config: Path | None,
    method: TrainingType | None,
    assignments: Sequence[str] | None,
    prompts: Sequence[str] | None,
) -> RunOptions:
    options = read_options(config) if config else RunOptions()
    options = with_assignments(options, assignments or ())
    changes: dict[str, object] = {}
    if method is not None:
        changes["training_type"] = method
    if prompts:
        changes["sample_prompts"] = tuple(prompts)
    return options.model_copy(update=changes)


def _starting(options: RunOptions, start: str | None) -> RunOptions:
    """The options of a run that starts from what has this id."""
    if start is None:
        return options
    is_version = start.startswith("version_")
    place = StartOptions(**{"version_id" if is_version else "checkpoint_id": start})
    return options.model_copy(update={"start": place})


async def _tested(client: Client, options: RunOptions, validate_on: str | None) -> RunOptions:
    """The options of a run that tests with the dataset of this id or name."""
    if validate_on is None:
        return options
    place = {"validation_dataset_id": await dataset_id(client, validate_on)}
    return options.model_copy(update={"data": options.data.model_copy(update=place)})


async def _job(client: Client, job_id: str) -> Job:
    found = await client.job(job_id)
    if found is None:
        raise ClientError(
            f"There is no job {job_id!r} that you can see.", "List them with: tunery jobs"
        )
    return found


async def _status(client: Client, job_id: str) -> JobStatus:
    return (await _job(client, job_id)).status


async def _as_json_lines(events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
    async for event in events:
        print(event.model_dump_json(by_alias=True), flush=True)
        yield event
