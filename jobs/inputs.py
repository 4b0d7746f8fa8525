"""What a client sent, as the frozen types of the floor below."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from jobs.errors import InvalidInput
from training.config import Frozen

__all__ = ["checked"]

FrozenT = TypeVar("FrozenT", bound=Frozen)


def checked(kind: type[FrozenT], values: Mapping[str, object], path: Sequence[str]) -> FrozenT:
    """The values as one; InvalidInput names the first that is out of range, below `path`."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        places = [to_camel(str(each)) for each in first["loc"]]
        name = ".".join(places)
        raise InvalidInput.at(
            (*path, *places),
            f"{name} is {first['input']!r}: {first['msg']}.",
            code="OUT_OF_RANGE",
            remedy="Send another value, or leave it out.",
        ) from error
