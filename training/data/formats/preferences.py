"""Rows that compare answers: whoever takes them for examples trains on the bad ones too."""

from collections.abc import Mapping
from typing import Final

__all__ = ["preferences"]

_COMPARED: Final = (
    frozenset({"chosen", "rejected"}),
    frozenset({"preferred_output", "non_preferred_output"}),
    frozenset({"rejected_response"}),
)
_VERDICTS: Final = frozenset({"kto_tag", "label"})
"""True or false for the answer beside it; a label of any other kind is a class."""


def preferences(row: Mapping[str, object]) -> list[str]:
    """The columns by which a row tells liked answers from others; none in an ordinary one."""
    held = {name.strip().casefold(): name for name, value in row.items() if value is not None}
    for columns in _COMPARED:
        if columns <= held.keys():
            return [held[column] for column in sorted(columns)]
    verdicts = [held[column] for column in sorted(_VERDICTS & held.keys())]
    return [name for name in verdicts if isinstance(row[name], bool)]
