"""Parts of documents that several of them have in common."""

from typing import Final

__all__ = [
    "FAILURE",
    "FINDING",
    "PAGE",
    "PROBLEMS",
]

FAILURE: Final = " { code message remedy } "
FINDING: Final = " { severity code path message remedy suggestedPatch } "
PAGE: Final = " totalCount pageInfo { hasNextPage endCursor } "
PROBLEMS: Final = f"""
  ... on Problem {{ code message remedy }}
  ... on InvalidProblem {{ findings {FINDING} }}
"""
