"""Which version of a model is in production, and two versions side by side."""

import json
from typing import Annotated

import typer

from api.cli.connecting import DEFAULT_URL, After, AsJson, First, Url, run
from api.cli.gate import gate
from api.cli.output import print_json, print_page, print_table, size
from api.client import ClientError
from api.client.versions import Activation

__all__ = ["add_to"]

Version = Annotated[str, typer.Argument(help="The version's id; `tunery versions` shows it.")]
ModelName = Annotated[str, typer.Argument(help="The model's name.")]
Reason = Annotated[str | None, typer.Option(help="Why, for the history.")]


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    panel = "Models and versions"
    for verb in (activate, rollback, activations, gate):
        app.command(rich_help_panel=panel)(verb)
    app.command("compare-versions", rich_help_panel=panel)(compare_versions)
    app.command("delete-version", rich_help_panel=panel)(delete_version)


def activate(
    version: Version,
    reason: Reason = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even if the model's gate keeps it back; say why.")
    ] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Put a version into production; the one that was there becomes DEPRECATED."""
    _show(run(url, lambda client: client.activate(version, reason=reason, force=force)), as_json)


def rollback(
    model: ModelName, reason: Reason = None, url: Url = DEFAULT_URL, as_json: AsJson = False
) -> None:
    """Return to the version that was in production before; again, to the one before that."""
    _show(run(url, lambda client: client.roll_back(model, reason)), as_json)


def activations(
    model: ModelName,
    url: Url = DEFAULT_URL,
    first: First = 20,
    after: After = None,
    as_json: AsJson = False,
) -> None:
    """Show how a model's version in production changed, newest first."""
    page = run(url, lambda client: client.activations(model, first=first, after=after))
    if page is None:
        raise ClientError(f"There is no model {model!r}.", "List them with: tunery models")
    if as_json:
        print_json(page.nodes)
        return
    rows = [
        (
            str(each.number),
            each.version_name,
            f"{each.kind.value}{', forced' if each.forced else ''}",
            each.at.strftime("%Y-%m-%d %H:%M"),
            each.by.email if each.by else "somebody else",
            each.reason or "",
        )
        for each in page.nodes
    ]
    print_page(page, ("NUMBER", "VERSION", "BY", "AT", "WHO", "WHY"), rows)


def compare_versions(
    one: Annotated[str, typer.Argument(help="A version's id.")],
    other: Annotated[str, typer.Argument(help="Another's.")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show two versions side by side: config, data, figures, and what they answer."""
    found = run(url, lambda client: client.compare_versions(one, other))
    if found is None:
        raise ClientError(
            f"{one!r} or {other!r} is no version that you can see.",
            "List them with: tunery versions MODEL",
        )
    if as_json:
        print_json(found)
        return
    typer.echo(f"trained on the same data: {_yes(found.same_data)}")
    typer.echo(f"measured on the same held-out rows: {_yes(found.same_held_out_rows)}")
    names = (found.a.version, found.b.version)
    changed = [(".".join(each.path), _text(each.a), _text(each.b)) for each in found.config]
    figures = [(each.name, _text(each.a), _text(each.b)) for each in found.metrics]
    answers = [(each.prompt, each.a or "", each.b or "") for each in found.samples]
    print_table(("CONFIG", *names), changed)
    print_table(("FIGURE", *names), figures)
    print_table(("PROMPT", *names), answers)


def delete_version(version: Version, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Delete a version with its files and exports."""
    gone = run(url, lambda client: client.delete_version(version))
    if as_json:
        print_json(gone)
    else:
        typer.echo(f"deleted, with {gone.deleted_exports} exports: {size(gone.freed_bytes)} freed")


def _show(change: Activation, as_json: bool) -> None:
    if as_json:
        print_json(change)
    else:
        typer.echo(f"{change.version_name} is ACTIVE.")


def _yes(so: bool) -> str:
    return "yes" if so else "no"


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else json.dumps(value)
