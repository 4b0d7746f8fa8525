"""What a run would be, in names and values."""

from api.cli.facts import forecast_facts
from api.client.results import DroppedRecords, RecordsDropped, Validation

UNKNOWN = Validation(
    valid=True,
    errors=(),
    warnings=(),
    recommendations=(),
    resolved=None,
    training_records=None,
    validation_records=None,
    steps=3,
    tokens_trained=120,
    records_dropped=None,
    records_dropped_unknown="It is starting.",
    near_leaks_unknown="It is told once.",
    preview=None,
    token_examinations=(),
    memory=None,
    memory_unknown=None,
    time=None,
    time_unknown=None,
)


def test_what_is_not_counted_is_said_with_its_reason() -> None:
    assert forecast_facts(UNKNOWN) == [
        ("steps", "3"),
        ("tokens trained", "about 120"),
        ("records dropped", "It is starting."),
        ("near leaks", "It is told once."),
    ]


def test_dropped_records_are_counted_by_reason() -> None:
    reasons = (
        DroppedRecords(code="NOTHING_TO_LEARN", count=1, lines=(7,), validation_dataset=False),
        DroppedRecords(code="TOO_LONG", count=5, lines=(1, 2, 4), validation_dataset=True),
    )
    counted = {"records_dropped": RecordsDropped(count=6, reasons=reasons)}
    told = UNKNOWN.model_copy(
        update=counted | {"records_dropped_unknown": None, "near_leaks_unknown": None}
    )
    assert forecast_facts(told) == [
        ("steps", "3"),
        ("tokens trained", "120"),
        ("records dropped", "6"),
        ("nothing to learn", "1, line 7"),
        ("too long of the validation dataset", "5, lines 1, 2, 4 and 2 more"),
    ]
