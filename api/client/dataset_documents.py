"""The GraphQL documents about datasets and uploads; see `documents`."""

from typing import Final

from api.client.fragments import FAILURE, PAGE, PREVIEWED_RECORD, PROBLEMS

__all__ = [
    "COMPARE_DATASETS",
    "CREATE_DATASET",
    "CREATE_UPLOAD",
    "DATA_OUTCOME",
    "DELETE_DATASET",
    "DERIVE_DATASET",
    "EXAMINED_DATASET",
    "EXAMINE_DATASET",
    "GET_DATASET",
    "INSPECT_UPLOAD",
    "LIST_DATASETS",
    "PREVIEW_DATASET",
    "TOKEN_EXAMINATION",
    "TOKEN_OUTCOME",
]

_DATASET = f"""
  id name version status progress error {FAILURE} dataType recordCount sizeBytes sha256 createdAt
"""
_MAPPING = " mapping { format dataType columns { part column } ignored } "
_LEFT_OUT = " leftOut { column rows } "
_REJECTED = " { line code message } "
_SOURCE = """ source {
  __typename ... on UploadSource { name sizeBytes division }
  ... on HubSource { id config split revision commit partial sizeBytes }
} """
_MADE_DATASET = f"""
  {_DATASET} {_SOURCE} container compression {_MAPPING} {_LEFT_OUT} downloadUrl
  rejected(first: 20) {{ totalCount edges {{ node {_REJECTED} }} }}
  derivation {{
    added removed removals {{ cause finding count lines }}
    examinedTokens {{ model chatTemplate trainOn maxSequenceLength }}
  }}
"""
_RECORDS = f" {{ edges {{ node {{ line content }} }} {PAGE} }} "
LIST_DATASETS: Final = f"""
query ListDatasets($first: Int!, $after: String) {{
  listDatasets(first: $first, after: $after) {{ edges {{ node {{ {_DATASET} }} }} {PAGE} }}
}}
"""
CREATE_UPLOAD: Final = f"""
mutation CreateUpload($input: CreateUploadInput!) {{
  createUpload(input: $input) {{
    __typename ... on Upload {{ id name sizeBytes receivedBytes sha256 url }} {PROBLEMS}
  }}
}}
"""
CREATE_DATASET: Final = f"""
mutation CreateDataset($input: CreateDatasetInput!) {{
  createDataset(input: $input) {{
    __typename ... on Dataset {{ {_MADE_DATASET} }} {PROBLEMS}
  }}
}}
"""
GET_DATASET: Final = f"""
query GetDataset($id: ID!) {{ getDataset(id: $id) {{ {_MADE_DATASET} }} }}
"""
_REPEATED = " { groups records largest { count lines } } "
_FOUND = " findings { code severity count lines message remedy strategies } "
_PERCENTILE = " { percentile tokens } "
_TOKEN_EXAMINATION = f"""
  id status progress error {FAILURE} chatTemplate trainOn maxSequenceLength createdAt
  report {{
    {_FOUND} stopTokens
    statistics {{
      rows tokens trainedTokens maskedTokens unknownTokens
      lengthPercentiles {_PERCENTILE} trainedPercentiles {_PERCENTILE}
      lengthHistogram {{ fromLength toLength count }}
      overLimit {{ maxLength records tokens trainedTokens longest }}
    }}
  }}
"""
EXAMINE_DATASET: Final = f"""
mutation ExamineDataset($input: ExamineDatasetInput!) {{
  examineDataset(input: $input) {{
    __typename ... on Dataset {{ id }} ... on TokenExamination {{ {_TOKEN_EXAMINATION} }} {PROBLEMS}
  }}
}}
"""
TOKEN_EXAMINATION: Final = f"""
query TokenExamination($id: ID!) {{
  node(id: $id) {{ ... on TokenExamination {{ {_TOKEN_EXAMINATION} }} }}
}}
"""
EXAMINED_DATASET: Final = f"""
query ExaminedDataset($id: ID!) {{
  getDataset(id: $id) {{
    id name status recordCount examination {{ status progress error {FAILURE} }}
    report {{
      {_FOUND}
      duplicates {_REPEATED} nearDuplicates {_REPEATED}
      lengthHistogram {{ fromLength toLength count }}
      languages {{ sampled languages {{ code records }} }}
      personalData {{ kind records }}
    }}
  }}
}}
"""
_OUTCOME = """ outcome(strategies: $strategies) {
  kept refused { finding count lines } dropped { count reasons { finding count } lines }
} """
DATA_OUTCOME: Final = f"""
query DataOutcome($id: ID!, $strategies: [DataStrategyInput!]!) {{
  getDataset(id: $id) {{ report {{ {_OUTCOME} }} }}
}}
"""
TOKEN_OUTCOME: Final = f"""
query TokenOutcome($id: ID!, $strategies: [DataStrategyInput!]!) {{
  node(id: $id) {{ ... on TokenExamination {{ report {{ {_OUTCOME} }} }} }}
}}
"""
INSPECT_UPLOAD: Final = f"""
query InspectUpload($uploadId: ID!, $mapping: DatasetMappingInput, $division: TextDivision!) {{
  inspectUpload(uploadId: $uploadId, mapping: $mapping, division: $division) {{
    container compression {_MAPPING} sampledRows {_LEFT_OUT} problem {FAILURE}
    rejected {_REJECTED} rows {{ line raw record rejected {_REJECTED} }}
  }}
}}
"""
DELETE_DATASET: Final = """
mutation DeleteDataset($datasetId: ID!) {
  deleteDataset(datasetId: $datasetId) {
    __typename ... on DeletedDataset { id deletedRows freedBytes }
    ... on Problem { code message remedy }
  }
}
"""
DERIVE_DATASET: Final = f"""
mutation DeriveDataset($input: DeriveDatasetInput!) {{
  deriveDataset(input: $input) {{
    __typename ... on Dataset {{ {_MADE_DATASET} }} {PROBLEMS}
  }}
}}
"""
COMPARE_DATASETS: Final = f"""
query CompareDatasets($a: ID!, $b: ID!, $first: Int!) {{
  compareDatasets(a: $a, b: $b) {{
    equal a {{ {_DATASET} }} b {{ {_DATASET} }} inBoth(first: $first) {_RECORDS}
    onlyInA(first: $first) {_RECORDS} onlyInB(first: $first) {_RECORDS}
    leaks {{ equal near unknown pairs {{ lineInA lineInB similarity }} }}
  }}
}}
"""
PREVIEW_DATASET: Final = f"""
query PreviewDataset(
  $datasetId: ID!, $modelId: ID!, $first: Int!, $after: String, $options: PreviewOptionsInput
) {{
  previewDataset(
    datasetId: $datasetId, modelId: $modelId, first: $first, after: $after, options: $options
  ) {{
    __typename
    ... on DatasetPreview {{
      chatTemplate stopTokens
      records {{
        edges {{
          node {{ {PREVIEWED_RECORD} }}
        }}
        {PAGE}
      }}
    }}
    {PROBLEMS}
  }}
}}
"""
