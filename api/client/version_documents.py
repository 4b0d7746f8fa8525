"""The operations about versions in production, as the client sends them."""

from typing import Final

from api.client.fragments import PAGE, PROBLEMS

__all__ = [
    "ACTIVATE_MODEL_VERSION",
    "COMPARE_MODEL_VERSIONS",
    "DELETE_MODEL_VERSION",
    "GET_ACTIVATIONS",
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
    ... on Model {{ gate {{ minAccuracy maxLoss notWorse }} }}
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
