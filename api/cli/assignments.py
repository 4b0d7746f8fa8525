"""`--set epochs=3`: single options of a run, laid over those of a file."""

import json
from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from api.client import ClientError, RunOptions
from training.findings import PATHS, merge

__all__ = ["with_assignments"]


def with_assignments(options: RunOptions, assignments: Sequence[str]) -> RunOptions:
    """The options with `NAME=VALUE` texts laid over them.

    A name is the API's, such as `epochs`, or dotted, such as `earlyStopping.patience`; a value is
    JSON or plain text. Raises ClientError for one that cannot be understood.
    """
    document = options.as_input()
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        path = _PATHS.get(".".join(to_camel(part) for part in name.strip().split(".")))
        if not equals or path is None:
            raise ClientError(
                f"There is no option {name!r}." if equals else f"{assignment!r} has no value.",
                f"Write NAME=VALUE, with one of the names {', '.join(sorted(_SHORTEST))}.",
            )
        changes: dict[str, object] = {path[-1]: _value(text)}
        for part in reversed(path[:-1]):
            changes = {part: changes}
        document = merge(document, changes)
    try:
        return RunOptions.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ClientError(f"{place}: {first['msg']}", "Give it another value.") from error


def _names() -> dict[str, tuple[str, ...]]:
    leaves = [path[-1] for path in PATHS.values()]
    names = {".".join(path): path for path in PATHS.values() if len(path) > 1}
    names |= {path[-1]: path for path in PATHS.values() if leaves.count(path[-1]) == 1}
    return names


_PATHS: Final = _names()
_SHORTEST: Final = {
    min((n for n in _PATHS if _PATHS[n] == path), key=len) for path in PATHS.values()
}


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text.strip()
