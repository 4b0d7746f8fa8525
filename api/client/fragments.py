"""Parts of documents that several of them have in common."""

from typing import Final

__all__ = [
    "FAILURE",
    "FINDING",
    "PAGE",
    "PREVIEWED_RECORD",
    "PROBLEMS",
]

FAILURE: Final = " { code message remedy } "
FINDING: Final = " { severity code path message remedy suggestedPatch } "
PAGE: Final = " totalCount pageInfo { hasNextPage endCursor } "
PREVIEWED_RECORD: Final = """
  line tokens { id text trained } tokensCut tokenCount trainedTokenCount truncated
"""
PROBLEMS: Final = f"""
  ... on Problem {{ code message remedy }}
  ... on InvalidProblem {{ findings {FINDING} }}
"""
