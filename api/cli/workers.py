"""The workers of a server."""

import typer

from api.cli.connecting import DEFAULT_URL, After, AsJson, First, Url, run
from api.cli.output import print_json, print_page, size

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Training")(workers)


def workers(
    url: Url = DEFAULT_URL, first: First = 20, after: After = None, as_json: AsJson = False
) -> None:
    """List the workers that are there, and the devices that each has."""
    page = run(url, lambda client: client.workers(first, after))
    if as_json:
        print_json(page.nodes)
        return
    rows = [
        (
            each.name,
            str(each.devices),
            str(each.devices_in_use),
            str(each.slots),
            "-" if each.machine is None else each.machine.device,
            "-" if each.machine is None else size(each.machine.available_bytes),
            each.started_at.strftime("%Y-%m-%d %H:%M"),
        )
        for each in page.nodes
    ]
    print_page(page, ("NAME", "DEVICES", "IN USE", "SLOTS", "DEVICE", "MEMORY", "SINCE"), rows)
