"""`tunery`: every verb of the shell."""

import sys
from collections.abc import Sequence

import typer
from pydantic import ValidationError

from api.cli import (
    accounts,
    asking,
    configs,
    control,
    data,
    deriving,
    evaluations,
    fetching,
    models,
    previews,
    production,
    reports,
    runs,
    server,
    uploading,
    versions,
    workers,
)
from api.cli.output import complain, complain_of, complain_of_settings
from api.client import ClientError, Refused
from jobs.errors import TuneryError

__all__ = ["build_app", "main"]


def build_app() -> typer.Typer:
    """The command line with all its verbs."""
    app = typer.Typer(
        name="tunery",
        help="Fine-tune language models over one typed GraphQL API.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    of_data = (uploading, fetching, data, reports, deriving, versions, previews)
    for part in (
        server,
        configs,
        accounts,
        models,
        production,
        evaluations,
        asking,
        *of_data,
        runs,
        control,
        workers,
    ):
        part.add_to(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb. Leaves with 0 when it was done, 1 when it failed, 2 when it was misused."""
    try:
        build_app()(args=arguments)
    except Refused as error:
        complain_of(error)
    except (TuneryError, ClientError) as error:
        complain(error.message, error.remedy)
    except ValidationError as error:
        complain_of_settings(error)
    except OSError as error:
        complain(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    else:
        return
    sys.exit(1)
