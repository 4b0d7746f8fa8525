"""The whole schema: `python -m schema.root` prints it, and `schema.graphql` is what it printed."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Final

import strawberry
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from schema import limits
from schema.accounts import AccountMutations, AccountQueries
from schema.context import OperationScope
from schema.data.dataset_making import DatasetMutations
from schema.data.datasets import DatasetQueries
from schema.data.derivations import DerivationMutations, DerivationQueries
from schema.data.examining import ExaminationMutations
from schema.data.inspections import InspectionQueries
from schema.data.previews import PreviewQueries
from schema.data.uploads import UploadMutations, UploadQueries
from schema.errors import coded_all
from schema.lookup import NodeQueries
from schema.problems import HANDLERS
from schema.registry.activations import ActivationMutations
from schema.registry.evaluations import EvaluationMutations, EvaluationQueries
from schema.registry.exports import ExportMutations, ExportQueries
from schema.registry.generations import (
    GenerationMutations,
    GenerationQueries,
    GenerationSubscriptions,
)
from schema.registry.models import ModelMutations, ModelQueries
from schema.registry.version_comparisons import VersionComparisonQueries
from schema.registry.versions import VersionMutations, VersionQueries
from schema.runs.subscriptions import DatasetSubscriptions, TrainingSubscriptions
from schema.runs.training_control import ControlMutations
from schema.runs.training_events import EVENT_TYPES
from schema.runs.training_runs import TrainingMutations, TrainingQueries
from schema.runs.workers import WorkerQueries
from schema.scalars import SCALARS

__all__ = ["Schema", "build_schema"]

OPERATION_SECONDS: Final = 30.0


@strawberry.type(description="What can be asked.")
class Query(
    AccountQueries,
    UploadQueries,
    InspectionQueries,
    DatasetQueries,
    DerivationQueries,
    PreviewQueries,
    ModelQueries,
    VersionQueries,
    VersionComparisonQueries,
    TrainingQueries,
    EvaluationQueries,
    ExportQueries,
    GenerationQueries,
    WorkerQueries,
    NodeQueries,
):
    pass


@strawberry.type(description="What can be done. Expected failures are part of each result.")
class Mutation(
    AccountMutations,
    UploadMutations,
    DatasetMutations,
    DerivationMutations,
    ExaminationMutations,
    ModelMutations,
    VersionMutations,
    ActivationMutations,
    TrainingMutations,
    ControlMutations,
    EvaluationMutations,
    ExportMutations,
    GenerationMutations,
):
    pass


@strawberry.type(description="What can be followed live, over a websocket.")
class Subscription(TrainingSubscriptions, DatasetSubscriptions, GenerationSubscriptions):
    pass


class Schema(strawberry.Schema):
    """A schema whose errors all have a code, and whose queries and mutations end in time.

    Both are done in strawberry's two inner methods that every path of execution takes, over HTTP
    and websockets: its extension hooks do not see an error that is raised in another hook, such as
    by a validation that runs out of stack. The release is pinned for this, among other reasons.
    """

    async def execute(self, *args: Any, **kwargs: Any) -> ExecutionResult:
        """Run a query or a mutation to its result; a subscription has none, it is streamed."""
        allowed = kwargs.pop("allowed_operation_types", None) or set(OperationType)
        kwargs["allowed_operation_types"] = set(allowed) - {OperationType.SUBSCRIPTION}
        return await super().execute(*args, **kwargs)

    async def _execute_operation(self, *args: Any, **kwargs: Any) -> Any:
        async with asyncio.timeout(OPERATION_SECONDS):
            return await super()._execute_operation(*args, **kwargs)

    async def _handle_execution_result(
        self, context: ExecutionContext, result: Any, *args: Any, **kwargs: Any
    ) -> ExecutionResult:
        handled = await super()._handle_execution_result(context, result, *args, **kwargs)
        if handled.errors:
            executed = not isinstance(result, PreExecutionError)
            handled.errors = coded_all(handled.errors, executed=executed)
        return handled

    def _process_errors(self, *_: Any, **__: Any) -> None:
        """Nothing: unexpected errors are logged where they get their correlation id."""


def build_schema(extensions: list[Callable[[], SchemaExtension]] | None = None) -> Schema:
    """The schema with its limits and caches; `extensions` run outside of these."""
    return Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=EVENT_TYPES,
        extensions=[*(extensions or []), OperationScope, *limits.extensions()],
        exception_handlers=HANDLERS,
        config=StrawberryConfig(scalar_map=SCALARS, relay_max_results=100),
    )


if __name__ == "__main__":
    sys.stdout.write(build_schema().as_str() + "\n")
