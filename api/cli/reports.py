"""What the doctor found in a dataset, waited for and shown: in its records and in their tokens."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import typer

from api.cli.connecting import DEFAULT_URL, AsJson, Url, dataset_id, run
from api.cli.names import Dataset, ids_of
from api.cli.output import percent, print_json
from api.cli.previews import ChatTemplate, Train, rendering_of
from api.cli.token_reports import Limit, examined_tokens, statistics_lines, unexamined_tokens
from api.client import Client, ClientError
from api.client.record import Record
from api.client.reports import DataFinding, DatasetReport, ExaminedDataset
from api.client.token_reports import TokenExamination
from jobs.status import TaskStatus
from training.wording import counted

__all__ = ["add_to", "examined", "examined_lines"]

POLL_SECONDS: Final = 0.3
SHOWN_LINES: Final = 10
SHOWN_LANGUAGES: Final = 5

_AGAIN: Final = "Have it examined again with --again."


def add_to(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Datasets")(examine)


def examine(  # noqa: PLR0913  # each is an option of the verb
    dataset: Dataset,
    model: Annotated[
        str | None,
        typer.Option(help="Look at the tokens of this model, too, by its name or id."),
    ] = None,
    chat_template: ChatTemplate = None,
    train_on: Train = None,
    max_sequence_length: Limit = None,
    again: Annotated[
        bool, typer.Option("--again", help="Look at the records again, if that came to nothing.")
    ] = False,
    wait: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds to wait for a worker at most.", show_default="without end"
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show what was found in a dataset's records and tokens, before anything is trained on them."""
    options = rendering_of(chat_template, train_on, max_sequence_length)
    if model is None and options.as_input():
        raise ClientError("These options say how a model's tokens are made.", "Add --model.")

    async def look(client: Client) -> Examined:
        key = await dataset_id(client, dataset)
        if again:
            await client.examine(key)
        found = await examined(client, key, wait)
        if model is None or found.status is not TaskStatus.READY:
            return Examined(dataset=found)
        model_id, _ = await ids_of(client, model, key)
        tokens = await examined_tokens(client, key, model_id, options, patience_seconds=wait)
        return Examined(dataset=found, tokens=tokens)

    told = run(url, look)
    _tell(told, as_json=as_json)
    if told.has_findings and not as_json:
        of_tokens = "" if told.tokens is None else f" --model {model}, and the same options"
        typer.echo(f"to leave these out: tunery derive {dataset} --drop CODE{of_tokens}")


class Examined(Record):
    """What was found in a dataset, and in its tokens where these were asked for."""

    dataset: ExaminedDataset
    tokens: TokenExamination | None = None

    @property
    def has_findings(self) -> bool:
        """Whether anything was found."""
        in_tokens = None if self.tokens is None else self.tokens.report
        reports = (self.dataset.report, in_tokens)
        return any(each is not None and each.findings for each in reports)


def _tell(told: Examined, *, as_json: bool) -> None:
    """Print what was found; ClientError, after that, where something was not looked at."""
    found, tokens = told.dataset, told.tokens
    if as_json:
        print_json(found if tokens is None else told)
    elif found.report is not None:
        typer.echo(f"{found.name}: {counted(found.record_count, 'records')}")
        for line in examined_lines(found.report):
            typer.echo(line)
    if tokens is not None and tokens.report is not None and not as_json:
        typer.echo("in tokens:")
        for line in (
            *_finding_lines(tokens.report.findings),
            *statistics_lines(tokens.report.statistics),
        ):
            typer.echo(line)
    if found.report is None:
        raise _unexamined(found)
    if tokens is not None and tokens.report is None:
        raise unexamined_tokens(tokens)


async def examined(
    client: Client, dataset: str, patience_seconds: float | None = None
) -> ExaminedDataset:
    """The dataset once it was examined, or as it stands when patience ends."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    while True:
        found = await client.examined_dataset(dataset)
        if found is None:
            raise ClientError(
                f"There is no dataset {dataset} that you can see.",
                "List them with: tunery datasets",
            )
        is_over = patience_seconds is not None and clock() - begun >= patience_seconds
        if is_over or not _is_awaited(found):
            return found
        await asyncio.sleep(POLL_SECONDS)


def _is_awaited(found: ExaminedDataset) -> bool:
    """Whether there may be a report yet."""
    status = found.status if found.examination is None else found.examination.status
    return status in (TaskStatus.QUEUED, TaskStatus.RUNNING)


def examined_lines(report: DatasetReport) -> Iterator[str]:
    """The findings, each with its lines and remedy, and what languages there are."""
    yield from _finding_lines(report.findings)
    for name, found in (("equal", report.duplicates), ("nearly equal", report.near_duplicates)):
        if found.records:
            largest = found.largest[0]
            yield (
                f"  {counted(found.records, 'records are')} {name} to an earlier one, in "
                f"{counted(found.groups, 'groups')}; "
                f"the largest has {largest.count}, the first at line {largest.lines[0]}"
            )
    if report.languages is not None:
        sampled = report.languages.sampled
        shown = ", ".join(
            f"{each.code} {percent(each.records / sampled)}"
            for each in report.languages.languages[:SHOWN_LANGUAGES]
        )
        yield f"  languages of {sampled} sampled: {shown}"


def _finding_lines(findings: Sequence[DataFinding]) -> Iterator[str]:
    for each in findings:
        yield f"  {each.severity.value} {each.code}: {each.message} {_places(each)}"
        yield f"    → {each.remedy}"
    if not findings:
        yield "  nothing was found"


def _places(found: DataFinding) -> str:
    shown = ", ".join(map(str, found.lines[:SHOWN_LINES]))
    more = ", …" if found.count > SHOWN_LINES else ""
    return f"{'Line' if found.count == 1 else 'Lines'} {shown}{more}"


def _unexamined(found: ExaminedDataset) -> ClientError:
    if found.examination is None:
        return ClientError(f"The dataset is {found.status}.", "It is examined once it is READY.")
    error = found.examination.error
    if error is not None:
        return ClientError(f"It could not be examined: {error.message}", _AGAIN)
    return ClientError("It has not been examined yet.", "Ask again; a worker must be running.")
