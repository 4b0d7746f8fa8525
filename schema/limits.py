"""How large an operation may be, and the parsing and validation that is done once per text.

One validation rule counts depth, aliases, directives and operations. Each fragment is measured
once, however often it is spread: a walk that expands fragments takes exponential time on a
document of a few hundred tokens. The rule is one class for the life of the process, because the
validation cache keys on the identity of the rules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
)
from strawberry.extensions import (
    AddValidationRules,
    MaxTokensLimiter,
    ParserCache,
    SchemaExtension,
    ValidationCache,
)

__all__ = [
    "CACHED_DOCUMENTS",
    "MAX_ALIASES",
    "MAX_DEPTH",
    "MAX_DIRECTIVES",
    "MAX_TOKENS",
    "extensions",
]

MAX_DEPTH: Final = 10
MAX_ALIASES: Final = 15
MAX_DIRECTIVES: Final = 20
MAX_TOKENS: Final = 2000
CACHED_DOCUMENTS: Final = 500


def extensions() -> list[Callable[[], SchemaExtension]]:
    """The schema extensions that enforce the limits and keep the caches."""
    return [
        lambda: AddValidationRules([OperationLimits]),
        lambda: MaxTokensLimiter(max_token_count=MAX_TOKENS),
        lambda: ParserCache(maxsize=CACHED_DOCUMENTS),
        lambda: ValidationCache(maxsize=CACHED_DOCUMENTS),
    ]


class OperationLimits(ValidationRule):
    """Refuses a document with more than one operation, or one that is too deep or too wide."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        for message in _excesses(context.document):
            context.report_error(GraphQLError(message))


@dataclass(frozen=True)
class _Size:
    depth: int = 0
    aliases: int = 0
    directives: int = 0

    def beside(self, other: "_Size") -> "_Size":
        return _Size(
            max(self.depth, other.depth),
            self.aliases + other.aliases,
            self.directives + other.directives,
        )


def _excesses(document: DocumentNode) -> list[str]:
    operations = [
        node for node in document.definitions if isinstance(node, OperationDefinitionNode)
    ]
    if len(operations) > 1:
        return [f"The document holds {len(operations)} operations. Send one at a time."]
    measure = _Measure(document)
    size = _Size()
    for operation in operations:
        own = _Size(directives=len(operation.directives or ()))
        size = size.beside(measure.selections(operation.selection_set)).beside(own)
    limits = (
        ("depth", size.depth, MAX_DEPTH),
        ("number of aliases", size.aliases, MAX_ALIASES),
        ("number of directives", size.directives, MAX_DIRECTIVES),
    )
    return [
        f"The operation's {what} is {_shown(count)}. Allowed: {limit}."
        for what, count, limit in limits
        if count > limit
    ]


def _shown(count: int) -> str:
    return str(count) if count < 1_000_000 else "more than a million"


class _Measure:
    """The size of selections with their fragments expanded, computed once per fragment."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        self._known: dict[str, _Size] = {}

    def selections(self, selection_set: SelectionSetNode | None) -> _Size:
        size = _Size()
        for node in selection_set.selections if selection_set else ():
            own = _Size(directives=len(node.directives or ()))
            if isinstance(node, FieldNode):
                own = own.beside(self._field(node))
            elif isinstance(node, InlineFragmentNode):
                own = own.beside(self.selections(node.selection_set))
            elif isinstance(node, FragmentSpreadNode):
                own = own.beside(self._fragment(node.name.value))
            size = size.beside(own)
        return size

    def _field(self, node: FieldNode) -> _Size:
        aliases = 1 if node.alias else 0
        if node.name.value.startswith("__"):  # introspection has limits of its own
            return _Size(aliases=aliases)
        below = self.selections(node.selection_set)
        return _Size(below.depth + 1, below.aliases + aliases, below.directives)

    def _fragment(self, name: str) -> _Size:
        if name not in self._known:
            self._known[name] = _Size()  # a fragment that spreads itself is refused by another rule
            fragment = self._fragments.get(name)
            if fragment is not None:
                self._known[name] = self.selections(fragment.selection_set)
        return self._known[name]
