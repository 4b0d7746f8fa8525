"""Models and datasets, given by name or by id."""

from typing import Annotated

import typer

from api.cli.connecting import dataset_id
from api.client import Client, ClientError

__all__ = ["Dataset", "Model", "ids_of"]

Model = Annotated[str, typer.Argument(help="The model's name or id.")]
Dataset = Annotated[
    str,
    typer.Argument(help="The dataset's id, or its name: the newest counts that did not fail."),
]


async def ids_of(client: Client, model: str, dataset: str) -> tuple[str, str]:
    """The ids of a model and a dataset that were given by id or by name."""
    found = None if model.startswith("model_") else await client.model(model)
    if found is None and not model.startswith("model_"):
        raise ClientError(f"There is no model {model!r}.", "List them with: tunery models")
    return found.id if found else model, await dataset_id(client, dataset)
