"""The operations about versions in production, as the client sends them."""

from typing import Final

from api.client.fragments import FAILURE, PAGE, PROBLEMS

__all__ = [
    "ACTIVATE_MODEL_VERSION",
    "COMPARE_MODEL_VERSIONS",
    "DELETE_MODEL_VERSION",
    "EVALUATE_MODEL",
    "GENERATE",
    "GET_ACTIVATIONS",
    "GET_EVALUATION",
    "GET_PREDICTIONS",
    "ROLLBACK_MODEL",
    "SET_ACTIVATION_GATE",
]

_ACTIVATION: Final = " number kind versionName reason forced at by { email } "

ACTIVATE_MODEL_VERSION: Final = f"""
mutation ActivateModelVersion($input: ActivateModelVersionInput!) {{
  activateModelVersion(input: $input) {{
    __typename
    ... on Activation {{ {_ACTIVATION} }}
    {PROBLEMS}
  }}
}}
"""
ROLLBACK_MODEL: Final = f"""
mutation RollbackModel($modelName: String!, $reason: String) {{
  rollbackModel(modelName: $modelName, reason: $reason) {{
    __typename
    ... on Activation {{ {_ACTIVATION} }}
    {PROBLEMS}
  }}
}}
"""
SET_ACTIVATION_GATE: Final = f"""
mutation SetActivationGate($modelName: String!, $gate: ActivationGateInput) {{
  setActivationGate(modelName: $modelName, gate: $gate) {{
    __typename
    ... on Model {{ gate {{
      minAccuracy maxLoss notWorse figures {{ figure bound notWorse }} testDatasetSha256
    }} }}
    {PROBLEMS}
  }}
}}
"""
GET_ACTIVATIONS: Final = f"""
query GetActivations($modelName: String!, $first: Int!, $after: String) {{
  getModel(name: $modelName) {{
    activations(first: $first, after: $after) {{ edges {{ node {{ {_ACTIVATION} }} }} {PAGE} }}
  }}
}}
"""
DELETE_MODEL_VERSION: Final = """
mutation DeleteModelVersion($modelVersionId: ID!) {
  deleteModelVersion(modelVersionId: $modelVersionId) {
    __typename
    ... on DeletedModelVersion { deletedExports freedBytes }
    ... on Problem { code message remedy }
  }
}
"""
COMPARE_MODEL_VERSIONS: Final = """
query CompareModelVersions($a: ID!, $b: ID!) {
  compareModelVersions(a: $a, b: $b) {
    a { version } b { version } sameData sameHeldOutRows
    config { path a b } metrics { name a b } samples { prompt a b }
  }
}
"""

_FIGURES: Final = """
  loss perplexity tokenAccuracy
  answers { records exactMatch precision recall f1 cut }
  labels { accuracy macroPrecision macroRecall macroF1 calibrationError
    classes { label precision recall f1 support } }
"""
_EVALUATION: Final = f"""
  id status progress error {FAILURE} datasetName createdAt
  result {{ records dropped droppedLines seen {{ count lines }} unlabelled seconds
    tuned {{ {_FIGURES} }} base {{ {_FIGURES} }} }}
"""
_ANSWER: Final = " text exact f1 label confidence "

EVALUATE_MODEL: Final = f"""
mutation EvaluateModel($input: EvaluateModelInput!) {{
  evaluateModel(input: $input) {{
    __typename
    ... on Evaluation {{ {_EVALUATION} }}
    {PROBLEMS}
  }}
}}
"""
GET_EVALUATION: Final = f"""
query GetEvaluation($id: ID!) {{ getEvaluation(id: $id) {{ {_EVALUATION} }} }}
"""
GET_PREDICTIONS: Final = f"""
query GetPredictions($id: ID!, $first: Int!, $after: String) {{
  getEvaluation(id: $id) {{
    predictions(first: $first, after: $after) {{
      edges {{ node {{ line prompt expected tuned {{ {_ANSWER} }} base {{ {_ANSWER} }} }} }} {PAGE}
    }}
  }}
}}
"""

GENERATE: Final = f"""
subscription Generate($input: GenerateInput!) {{
  generate(input: $input) {{
    newText generation {{ id status error {FAILURE}
      ending {{ reason promptTokens answerTokens loadingSeconds firstSeconds seconds }} }}
  }}
}}
"""
