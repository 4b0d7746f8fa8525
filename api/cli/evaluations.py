"""Measuring versions on test records."""

import asyncio
from typing import Annotated

import typer

from api.cli.connecting import DEFAULT_URL, AsJson, Url, dataset_id, run
from api.cli.models import POLL_SECONDS, UNFINISHED
from api.cli.output import percent, print_json, print_table
from api.client import Client, ClientError
from api.client.evaluations import (
    Evaluation,
    EvaluationOptions,
    EvaluationResult,
    ModelFigures,
    PredictedAnswer,
    PredictedRecord,
)
from api.client.results import Page
from training.data.errors import numbered
from training.wording import counted

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Models and versions")(evaluate)


def evaluate(  # noqa: PLR0913  # each is an option of the verb
    version: Annotated[str, typer.Argument(help="The version's id.")],
    dataset: Annotated[str, typer.Argument(help="The test dataset's id or name.")],
    max_records: Annotated[
        int | None, typer.Option(help="Measure a sample of so many records.")
    ] = None,
    seed: Annotated[int, typer.Option(help="What draws the sample.")] = 42,
    no_base: Annotated[bool, typer.Option("--no-base", help="Leave out the base model.")] = False,
    no_answers: Annotated[
        bool, typer.Option("--no-answers", help="Generate no answers, which takes longest.")
    ] = False,
    max_new_tokens: Annotated[int, typer.Option(help="Tokens of an answer at most.")] = 128,
    show: Annotated[int, typer.Option(min=0, max=100, help="How many predictions to show.")] = 5,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Measure a version on test records, its base beside it, and wait for the figures."""
    options = EvaluationOptions(
        max_records=max_records,
        seed=seed,
        base=not no_base,
        answers=not no_answers,
        max_new_tokens=max_new_tokens,
    )

    async def work(client: Client) -> tuple[Evaluation, Page[PredictedRecord] | None]:
        asked = await client.evaluate(version, await dataset_id(client, dataset), options)
        done = await _finished(client, asked)
        return done, await client.predictions(done.id, first=show) if show else None

    done, predicted = run(url, work)
    if as_json:
        print_json(done)
        return
    assert done.result is not None  # noqa: S101 - it is READY
    _show(done.result)
    for each in predicted.nodes if predicted else ():
        _show_prediction(each)


async def _finished(client: Client, asked: Evaluation) -> Evaluation:
    found: Evaluation | None = asked
    while found is not None and found.status in UNFINISHED:
        await asyncio.sleep(POLL_SECONDS)
        found = await client.evaluation(found.id)
    if found is None:
        raise ClientError("The evaluation is gone.")
    if found.error is not None:
        raise ClientError(f"The evaluation failed: {found.error.message}", found.error.remedy)
    return found


def _show(result: EvaluationResult) -> None:
    typer.echo(f"{counted(result.records, 'records')}, in {result.seconds:.1f} s")
    if result.dropped:
        lines = numbered(result.dropped_lines, result.dropped)
        typer.echo(f"{counted(result.dropped, 'records were left out')}: {lines}", err=True)
    if result.seen is not None and result.seen.count:
        seen = counted(result.seen.count, "records are in what it was trained on")
        typer.echo(f"{seen}: {numbered(result.seen.lines, result.seen.count)}", err=True)
    tuned, base = _rows(result.tuned), _rows(result.base) if result.base else {}
    rows = [(name, value, base.get(name, "-")) for name, value in tuned.items()]
    print_table(("FIGURE", "TUNED", "BASE"), rows)
    if result.tuned.labels is not None:
        table = [
            (each.label, percent(each.precision), percent(each.recall), percent(each.f1))
            for each in result.tuned.labels.classes
        ]
        print_table(("LABEL", "PRECISION", "RECALL", "F1"), table)


def _rows(figures: ModelFigures) -> dict[str, str]:
    rows = {
        "loss": f"{figures.loss:.4f}",
        "perplexity": f"{figures.perplexity:.4g}",
        "token accuracy": percent(figures.token_accuracy),
    }
    if figures.answers is not None:
        rows |= {
            "exact match": percent(figures.answers.exact_match),
            "precision": percent(figures.answers.precision),
            "recall": percent(figures.answers.recall),
            "F1": percent(figures.answers.f1),
        }
    if figures.labels is not None:
        rows |= {
            "label accuracy": percent(figures.labels.accuracy),
            "macro F1": percent(figures.labels.macro_f1),
            "calibration error": f"{figures.labels.calibration_error:.4f}",
        }
    return rows


def _show_prediction(each: PredictedRecord) -> None:
    typer.echo(f"line {each.line}, expected: {each.expected}")
    typer.echo(f"  tuned: {_said(each.tuned)}")
    if each.base is not None:
        typer.echo(f"  base: {_said(each.base)}")


def _said(answer: PredictedAnswer) -> str:
    label = f"label {answer.label}, {percent(answer.confidence)}" if answer.label else ""
    return "; ".join(each for each in (answer.text, label) if each)
