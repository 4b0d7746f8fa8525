"""What the client can do with datasets and uploads."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from api.client import dataset_documents, dataset_versions
from api.client.answers import accepted, optional, page
from api.client.dataset_versions import Comparison, Derivation, strategies_input
from api.client.datasets import (
    Dataset,
    DeletedDataset,
    HubSplit,
    Inspection,
    MappingOptions,
)
from api.client.previews import DatasetPreview, PreviewOptions
from api.client.reports import DataOutcome, ExaminedDataset
from api.client.results import Page
from api.client.token_reports import TokenExamination
from api.client.uploads import Upload
from training.config import DataType
from training.data.containers.prose import Division
from training.data.doctor.checks import Code, Strategy

__all__ = ["DatasetCalls"]


class DatasetCalls(Protocol):
    """The calls of a client that are about data."""

    @abstractmethod
    async def _ask(self, document: str, **variables: object) -> Any:
        """The answer's one root field."""

    async def datasets(self, first: int = 20, after: str | None = None) -> Page[Dataset]:
        """The datasets that the account can see, newest first."""
        answer = await self._ask(dataset_documents.LIST_DATASETS, first=first, after=after)
        return page(Dataset, answer)

    async def create_upload(self, name: str, size_bytes: int, sha256: str) -> Upload:
        """Announce a file; the account's own unused upload of the same content is given again."""
        given = {"name": name, "sizeBytes": size_bytes, "sha256": sha256}
        answer = await self._ask(dataset_documents.CREATE_UPLOAD, input=given)
        return Upload.model_validate(accepted(answer))

    async def create_dataset(
        self,
        name: str,
        records: Sequence[object] | Upload | HubSplit,
        *,
        data_type: DataType | None = None,
        drop_invalid: bool = False,
        mapping: MappingOptions | None = None,
        division: Division = Division.PASSAGES,
    ) -> Dataset:
        """Store records, or begin to take in an upload, or to fetch a split of the hub: `status` then
        tells how that went.

        Refused names each bad record, unless they are to be dropped; of an upload, `rejected` does.
        """
        given: dict[str, object] = {
            "name": name,
            "source": _source(records),
            "division": division.value,
            "onInvalid": "DROP" if drop_invalid else "ERROR",
            "dataType": data_type and data_type.value,
            "mapping": mapping and mapping.as_input(),
        }
        return Dataset.of(accepted(await self._ask(dataset_documents.CREATE_DATASET, input=given)))

    async def dataset(self, dataset_id: str) -> Dataset | None:
        """A dataset as it stands, with the first rows that were not taken."""
        answer = await self._ask(dataset_documents.GET_DATASET, id=dataset_id)
        return answer and Dataset.of(answer)

    async def examined_dataset(self, dataset_id: str) -> ExaminedDataset | None:
        """A dataset with what was found in its records, once a worker has looked at them."""
        answer = await self._ask(dataset_documents.EXAMINED_DATASET, id=dataset_id)
        return answer and ExaminedDataset.model_validate(answer)

    async def examine(self, dataset_id: str) -> None:
        """Have a dataset's records looked at again, where that came to nothing."""
        answer = await self._ask(dataset_documents.EXAMINE_DATASET, input={"datasetId": dataset_id})
        accepted(answer)

    async def examine_tokens(
        self, dataset_id: str, model_id: str, options: PreviewOptions
    ) -> TokenExamination:
        """Have a dataset looked at as rows of a model's tokens; the same for whoever asks again."""
        given = {"datasetId": dataset_id, "modelId": model_id, **options.as_input()}
        answer = await self._ask(dataset_documents.EXAMINE_DATASET, input=given)
        return TokenExamination.model_validate(accepted(answer))

    async def token_examination(self, examination_id: str) -> TokenExamination | None:
        """The look at a dataset's tokens as it stands."""
        answer = await self._ask(dataset_documents.TOKEN_EXAMINATION, id=examination_id)
        return optional(TokenExamination, answer)

    async def inspect(
        self,
        upload: Upload,
        mapping: MappingOptions | None = None,
        *,
        division: Division = Division.PASSAGES,
    ) -> Inspection:
        """What a whole upload would be taken for."""
        given = mapping and mapping.as_input()
        answer = await self._ask(
            dataset_documents.INSPECT_UPLOAD,
            uploadId=upload.id,
            mapping=given,
            division=division.value,
        )
        return Inspection.model_validate(answer)

    async def preview(
        self,
        dataset_id: str,
        model_id: str,
        options: PreviewOptions,
        *,
        first: int = 3,
        after: str | None = None,
    ) -> DatasetPreview:
        """Records as a run of the model would see them, token for token."""
        answer = await self._ask(
            dataset_documents.PREVIEW_DATASET,
            datasetId=dataset_id,
            modelId=model_id,
            first=first,
            after=after,
            options=options.as_input(),
        )
        return DatasetPreview.of(accepted(answer))

    async def delete_dataset(self, dataset_id: str) -> DeletedDataset:
        """Remove a dataset and its files."""
        answer = await self._ask(dataset_documents.DELETE_DATASET, datasetId=dataset_id)
        return DeletedDataset.model_validate(accepted(answer))

    async def derive_dataset(self, parent_id: str, wanted: Derivation) -> Dataset:
        """Begin to make a dataset of another's records, without some of them, and with more: `status`
        then tells how that went."""
        answer = await self._ask(dataset_documents.DERIVE_DATASET, input=wanted.as_input(parent_id))
        return Dataset.of(accepted(answer))

    async def data_outcome(
        self, dataset_id: str, strategies: Mapping[Code, Strategy]
    ) -> DataOutcome | None:
        """What a derivation by these strategies would leave out; None before the dataset is examined."""
        return await self._outcome(dataset_documents.DATA_OUTCOME, dataset_id, strategies)

    async def token_outcome(
        self, examination_id: str, strategies: Mapping[Code, Strategy]
    ) -> DataOutcome | None:
        """The same by what was found in tokens; None before these are examined."""
        return await self._outcome(dataset_documents.TOKEN_OUTCOME, examination_id, strategies)

    async def _outcome(
        self, document: str, key: str, strategies: Mapping[Code, Strategy]
    ) -> DataOutcome | None:
        answer = await self._ask(document, id=key, strategies=strategies_input(strategies))
        if answer is None or answer["report"] is None:
            return None
        return DataOutcome.model_validate(answer["report"]["outcome"])

    async def compare_datasets(self, a: str, b: str, first: int = 5) -> Comparison | None:
        """Two datasets record by record; None where the account cannot see both."""
        answer = await self._ask(dataset_documents.COMPARE_DATASETS, a=a, b=b, first=first)
        return None if answer is None else dataset_versions.comparison(answer)


def _source(records: Sequence[object] | Upload | HubSplit) -> dict[str, object]:
    if isinstance(records, Upload):
        return {"uploadId": records.id}
    if isinstance(records, HubSplit):
        return {"hub": records.as_input()}
    return {"records": [*records]}
