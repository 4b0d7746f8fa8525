"""What the doctor found in a dataset's tokens, waited for and shown."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import typer

from api.cli.output import percent_bar
from api.client import Client, ClientError
from api.client.previews import PreviewOptions
from api.client.results import Validation
from api.client.token_reports import TokenExamination, TokenStatistics
from training.wording import counted

__all__ = [
    "Limit",
    "count_for",
    "examined_tokens",
    "is_uncounted",
    "statistics_lines",
    "unexamined_tokens",
]

POLL_SECONDS: Final = 0.3

Limit = Annotated[
    int | None, typer.Option(min=1, help="The limit that records are compared with, in tokens.")
]


async def examined_tokens(
    client: Client,
    dataset: str,
    model: str,
    options: PreviewOptions,
    *,
    patience_seconds: float | None = None,
) -> TokenExamination:
    """The look at a dataset's tokens once a worker has taken it, or as it stands when patience ends;
    its progress is shown meanwhile."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    found = await client.examine_tokens(dataset, model, options)
    with percent_bar("examined") as advance_to:
        while not found.ended:
            if patience_seconds is not None and clock() - begun >= patience_seconds:
                break
            await asyncio.sleep(POLL_SECONDS)
            now = await client.token_examination(found.id)
            if now is None:
                raise ClientError("The dataset was deleted before its tokens were examined.")
            found = now
            advance_to(found.progress)
    return found


def is_uncounted(validation: Validation) -> bool:
    """Whether a run could start, and its records were not counted."""
    counted = validation.records_dropped is not None
    return validation.valid and not counted and validation.records_dropped_unknown is not None


async def count_for(
    client: Client, validation: Validation, *, model: str, datasets: Sequence[str]
) -> None:
    """Have a worker count the records of a run that could not be counted at once, and wait for it."""
    resolved = validation.resolved or {}
    options = PreviewOptions.model_validate(
        {key: resolved.get(key) for key in ("chatTemplate", "trainOn", "maxSequenceLength")}
    )
    for dataset in datasets:
        _ = await examined_tokens(client, dataset, model, options)


def statistics_lines(found: TokenStatistics) -> Iterator[str]:
    """How many tokens there are, and how they are spread."""
    yield (
        f"  {found.tokens} tokens in {counted(found.rows, 'rows')}, {found.trained_tokens} of them trained and "
        f"{found.masked_tokens} masked"
    )
    if found.length_percentiles:
        spread = ", ".join(
            f"{each.percentile:g} % up to {each.tokens}" for each in found.length_percentiles
        )
        yield f"  tokens of a row: {spread}"
    over = found.over_limit
    if over.records:
        yield (
            f"  {counted(over.records, 'are longer')} than {over.max_length}: {over.tokens} tokens lie beyond, "
            f"{over.trained_tokens} of them trained; the longest row has {over.longest}"
        )


def unexamined_tokens(found: TokenExamination) -> ClientError:
    """Why there is no report."""
    if found.error is not None:
        message = f"Its tokens could not be examined: {found.error.message}"
        return ClientError(message, found.error.remedy)
    return ClientError(
        f"Its tokens have not been examined yet ({found.progress:.0f} %).",
        "Ask again; a worker must be running.",
    )
