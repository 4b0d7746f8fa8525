"""Run configurations in files: read for `train`, or checked without any server."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from api.cli.data import read_lines
from api.cli.output import finding_lines
from api.client import ClientError, RunOptions
from training.config import DataType, TrainingConfig, resolve
from training.data import records
from training.findings import PATHS
from training.held_out import HeldOut
from training.validation import RunFacts, Severity, check
from training.wording import counted

__all__ = ["add_to", "read_options"]


def add_to(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command("check-config", rich_help_panel="Training")(check_config)


def check_config(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="TOML or JSON.")],
    data: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The records, as JSONL.")
    ] = None,
    data_type: Annotated[
        DataType, typer.Option("--type", help="The shape of the records.")
    ] = DataType.QA,
    record_count: Annotated[
        int, typer.Option("--records", min=0, help="How many records, where --data is not given.")
    ] = 1000,
    context_length: Annotated[
        int | None, typer.Option(min=1, help="The longest input the model takes, in tokens.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Check a run's configuration, here and without a server.

    The file has the shape of the API's input: trainingType, samplePrompts, and the tables
    hyperparameters, data, earlyStopping and checkpointing. Leaves with 1 where the run would be
    refused.
    """
    if data is not None:
        record_count = _count_valid(data, data_type)
    options = read_options(file)
    facts = RunFacts(
        records=record_count,
        data_type=data_type,
        context_length=context_length,
        held_out=HeldOut(records=1, data_type=data_type) if _names_tests(options) else None,
    )
    config = _resolved(options)
    findings = check(config, facts)
    refused = any(finding.severity is Severity.ERROR for finding in findings)
    if as_json:
        found = [finding.model_dump(mode="json") for finding in findings]
        print(json.dumps({"valid": not refused, "findings": found}, indent=2, ensure_ascii=False))
    else:
        verdict = "cannot run" if refused else "can run"
        records = counted(record_count, "records")
        typer.echo(f"{file} {verdict}: {len(findings)} findings for {records}.")
        for line in finding_lines(findings):
            typer.echo(line)
    raise typer.Exit(1 if refused else 0)


def read_options(file: Path) -> RunOptions:
    """The options in a TOML or JSON file. ClientError names every place that is wrong."""
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        kind = "JSON" if file.suffix == ".json" else "TOML"
        raise ClientError(
            f"{file} is no {kind}: {error}.", "Write TOML, or JSON in a file named *.json."
        ) from error
    try:
        return RunOptions.model_validate(content)
    except ValidationError as error:
        raise ClientError(f"{file} is no run configuration.\n{_places(error)}", _SHAPE) from error


_SHAPE = "Use the names of the API's input, such as hyperparameters.learningRate."


def _places(error: ValidationError) -> str:
    found = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"]) or "the whole"
        unknown = problem["type"] == "extra_forbidden"
        found.append(f"  {place}: {'there is no such option' if unknown else problem['msg']}")
    return "\n".join(found)


def _names_tests(options: RunOptions) -> bool:
    """Whether a dataset to test with is named; what it holds only the server knows."""
    return options.data.validation_dataset_id is not None


def _resolved(options: RunOptions) -> TrainingConfig:
    """The whole config that follows; the API takes it from the same defaults."""
    given = options.as_input()
    choices: dict[str, object] = {"validation_split": 0.0} if _names_tests(options) else {}
    for name, path in PATHS.items():
        value = _at(given, path)
        if value is None or name == "training_type":
            continue
        outer, _, inner = name.partition(".")
        if inner:
            group = choices.setdefault(outer, {})
            if isinstance(group, dict):
                group[inner] = value
        else:
            choices[name] = value
    return resolve(options.training_type, choices)


def _at(document: Mapping[str, object], path: tuple[str, ...]) -> object:
    value: object = document
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _count_valid(file: Path, data_type: DataType) -> int:
    validated = records.validate(data_type, read_lines(file))
    for each in validated.rejected:
        typer.echo(f"  {file}, line {each.line}: {each.message}", err=True)
    return len(validated.records)
