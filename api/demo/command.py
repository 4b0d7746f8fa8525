"""The demo's command: leaves with 0 only if everything that it shows came true."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from api.cli.output import complain, complain_of
from api.client import ClientError, Refused
from api.demo.steps import DemoError, Steps
from api.demo.story import tell
from jobs.errors import TuneryError

__all__ = ["main"]


def demo(
    folder: Annotated[Path, typer.Option(help="Where everything of the demo lies.")] = Path(
        ".demo"
    ),
    model: Annotated[
        str | None, typer.Option(help="Another base model: a folder or a hub id.")
    ] = None,
) -> None:
    """Fine-tune a real model on real data through the API, and watch it."""
    console = Console()
    steps = Steps(console)
    folder.mkdir(exist_ok=True)
    asyncio.run(tell(folder.absolute(), steps, source=model))
    console.print("Everything came true.", style="bold green")


def main() -> None:
    """Run the demo."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(demo)
    try:
        app()
    except DemoError as error:
        where = f" The log: {error.log}" if error.log else ""
        complain(error.message, error.remedy + where)
    except Refused as error:
        complain_of(error)
    except (ClientError, TuneryError) as error:
        complain(error.message, error.remedy)
    except KeyboardInterrupt:
        sys.exit(130)
    else:
        return
    sys.exit(1)
