"""The schema as a whole: committed, described, guarded."""

from collections import defaultdict
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    build_schema,
)

from schema import root
from schema.permissions import Public, Requires

SDL = Path(root.__file__).with_name("schema.graphql")

SCHEMA = build_schema(SDL.read_text())
TYPES = [
    each
    for name, each in SCHEMA.type_map.items()
    if not name.startswith("__") and name not in ("Boolean", "Float", "ID", "Int", "String")
]


def test_the_committed_schema_is_what_the_code_makes() -> None:
    assert SDL.read_text() == root.build_schema().as_str() + "\n"


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_every_type_field_argument_and_value_is_described(kind: object) -> None:
    missing = [name for name, description in _descriptions(kind) if not description]
    assert missing == []


def _descriptions(kind: object) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = [("the type", getattr(kind, "description", None))]
    if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
        for name, field in kind.fields.items():
            found.append((name, field.description))
            found += [(f"{name}({arg})", each.description) for arg, each in field.args.items()]
    elif isinstance(kind, GraphQLInputObjectType):
        found += [(name, field.description) for name, field in kind.fields.items()]
    elif isinstance(kind, GraphQLEnumType):
        found += [(name, value.description) for name, value in kind.values.items()]
    return found


def test_every_root_field_says_who_may_use_it() -> None:
    guards = {
        f"{kind.__name__}.{field.name}": [
            each for each in field.extensions if isinstance(each, Public | Requires)
        ]
        for kind in (root.Query, root.Mutation, root.Subscription)
        for field in kind.__strawberry_definition__.fields  # type: ignore[attr-defined]
    }
    assert len(guards) >= 23
    assert [name for name, found in guards.items() if len(found) != 1] == []
    public = {name for name, [guard] in guards.items() if isinstance(guard, Public)}
    assert public == {"Mutation.login", "Mutation.refresh_token"}


def test_only_what_changes_nothing_is_open_to_a_viewer() -> None:
    roles = {
        field.name: next(each for each in field.extensions if isinstance(each, Requires)).role.value
        for field in root.Mutation.__strawberry_definition__.fields  # type: ignore[attr-defined]
        if any(isinstance(each, Requires) for each in field.extensions)
    }
    assert roles == {
        "create_user": "ADMIN",
        "create_upload": "TRAINER",
        "delete_upload": "TRAINER",
        "create_dataset": "TRAINER",
        "derive_dataset": "TRAINER",
        "examine_dataset": "TRAINER",
        "delete_dataset": "TRAINER",
        "register_model": "TRAINER",
        "start_training": "TRAINER",
        "run_pipeline": "TRAINER",
        "cancel_training": "TRAINER",
        "pause_training": "TRAINER",
        "resume_training": "TRAINER",
        "save_checkpoint": "TRAINER",
        "cleanup_checkpoints": "TRAINER",
        "evaluate_model": "TRAINER",
        "export_model": "TRAINER",
        "generate_answer": "TRAINER",
        "activate_model_version": "TRAINER",
        "rollback_model": "TRAINER",
        "set_activation_gate": "TRAINER",
        "delete_model_version": "TRAINER",
    }


def test_fields_of_one_name_have_one_type_in_all_events_so_that_one_selection_fits_all() -> None:
    events = SCHEMA.type_map["TrainingEvent"]
    assert isinstance(events, GraphQLInterfaceType)
    types: dict[str, set[str]] = defaultdict(set)
    for event in SCHEMA.get_possible_types(events):
        for name, field in event.fields.items():
            types[name].add(str(field.type).removesuffix("!"))
    assert {name: found for name, found in types.items() if len(found) > 1} == {}
