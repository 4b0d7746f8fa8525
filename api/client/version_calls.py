"""What the client can do with versions: production, deletion, comparison."""

from abc import abstractmethod
from typing import Any, Protocol

from api.client import version_documents as documents
from api.client.answers import accepted, optional, page
from api.client.evaluations import Evaluation, EvaluationOptions, PredictedRecord
from api.client.results import Page
from api.client.versions import (
    Activation,
    ActivationGate,
    DeletedVersion,
    GateOptions,
    VersionComparison,
)

__all__ = ["VersionCalls"]


class VersionCalls(Protocol):
    """The calls of a client that are about versions in production."""

    @abstractmethod
    async def _ask(self, document: str, **variables: object) -> Any:
        """The answer's one root field."""

    async def activate(
        self, version_id: str, *, reason: str | None = None, force: bool = False
    ) -> Activation:
        """Put a version into production. Refused by the model's gate, unless forced with a reason."""
        given = {"modelVersionId": version_id, "reason": reason, "force": force}
        answer = await self._ask(documents.ACTIVATE_MODEL_VERSION, input=given)
        return Activation.model_validate(accepted(answer))

    async def roll_back(self, model_name: str, reason: str | None = None) -> Activation:
        """Return to the version that was in production before."""
        answer = await self._ask(documents.ROLLBACK_MODEL, modelName=model_name, reason=reason)
        return Activation.model_validate(accepted(answer))

    async def set_gate(self, model_name: str, gate: GateOptions | None) -> ActivationGate | None:
        """Say what versions of a model must be to go into production; none for any."""
        given = gate and gate.model_dump(mode="json", by_alias=True)
        answer = await self._ask(documents.SET_ACTIVATION_GATE, modelName=model_name, gate=given)
        return optional(ActivationGate, accepted(answer)["gate"])

    async def activations(
        self, model_name: str, *, first: int = 20, after: str | None = None
    ) -> Page[Activation] | None:
        """How a model's version in production changed, newest first; null where there is no such
        model."""
        model = await self._ask(
            documents.GET_ACTIVATIONS, modelName=model_name, first=first, after=after
        )
        return model and page(Activation, model["activations"])

    async def delete_version(self, version_id: str) -> DeletedVersion:
        """Delete a version with its files and exports."""
        answer = await self._ask(documents.DELETE_MODEL_VERSION, modelVersionId=version_id)
        return DeletedVersion.model_validate(accepted(answer))

    async def compare_versions(self, a: str, b: str) -> VersionComparison | None:
        """Two versions side by side; null where the account does not see both."""
        return optional(
            VersionComparison, await self._ask(documents.COMPARE_MODEL_VERSIONS, a=a, b=b)
        )

    async def evaluate(
        self, version_id: str, dataset_id: str, options: EvaluationOptions
    ) -> Evaluation:
        """Ask for a version to be measured on test records; `status` then tells how that went."""
        given = {"modelVersionId": version_id, "testDatasetId": dataset_id}
        given |= options.model_dump(by_alias=True)
        answer = await self._ask(documents.EVALUATE_MODEL, input=given)
        return Evaluation.model_validate(accepted(answer))

    async def evaluation(self, evaluation_id: str) -> Evaluation | None:
        """An evaluation as it stands."""
        return optional(Evaluation, await self._ask(documents.GET_EVALUATION, id=evaluation_id))

    async def predictions(
        self, evaluation_id: str, *, first: int = 20, after: str | None = None
    ) -> Page[PredictedRecord] | None:
        """Record by record, what was answered; null where there is no such evaluation."""
        found = await self._ask(
            documents.GET_PREDICTIONS, id=evaluation_id, first=first, after=after
        )
        return found and page(PredictedRecord, found["predictions"])
