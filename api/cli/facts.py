"""A job in names and values."""

from api.cli.output import duration, memory_estimate, percent, time_estimate, usage
from api.client.results import Job, Validation
from training.data.errors import numbered
from training.preview.questions import DIVIDED_ROWS

__all__ = ["forecast_facts", "job_facts"]


def job_facts(found: Job) -> list[tuple[str, str]]:
    """Names and values, in the order in which one asks for them."""
    left = duration(found.estimated_time_remaining)
    facts = [
        ("id", found.id),
        ("status", found.status.value),
        ("model", found.model.name),
        ("dataset", _dataset(found.dataset_name, found.dataset_version, found.dataset_sha256)),
        ("progress", f"{found.progress:.1f}%, {left} left"),
        ("epoch", f"{found.current_epoch} of {found.total_epochs}"),
        ("step", f"{found.step} of {found.total_steps or '-'}"),
        ("loss", f"{found.training_loss}, validation {found.validation_loss}"),
        (
            "accuracy",
            f"{percent(found.training_accuracy)}, validation {percent(found.validation_accuracy)}",
        ),
        ("attempt", str(found.attempt)),
    ]
    if found.validation_data is not None:
        tested = found.validation_data
        facts.append(("tested with", _dataset(tested.name, tested.version, tested.sha256)))
    if found.started_from is not None:
        start = found.started_from
        facts.append(("started from", f"{start.source.value.lower()} {start.name}"))
    if found.estimate is not None:
        facts.append(("memory estimated", memory_estimate(found.estimate.memory)))
        facts.append(("time estimated", duration(found.estimate.seconds)))
    if found.usage is not None:
        facts.append(("used", usage(found.usage)))
    if found.queue_position is not None:
        facts.append(("place in the queue", str(found.queue_position)))
    if found.hindrance is not None:
        facts.append(("waits", found.hindrance.message))
        facts.append(("remedy", found.hindrance.remedy))
    if found.error is not None:
        facts.append(("error", f"{found.error.code}: {found.error.message}"))
        facts.append(("remedy", found.error.remedy or "-"))
    if found.model_version is not None:
        facts.append(("version", f"{found.model_version.version} ({found.model_version.id})"))
    return facts


def _dataset(name: str, version: int, sha256: str) -> str:
    """A dataset, told apart from others of its name."""
    return f"{name}, version {version}, sha256 {sha256[:12]}…"


def _is_exact(found: Validation) -> bool:
    """Whether its tokens were counted."""
    records = (found.training_records or 0) + (found.validation_records or 0)
    return found.records_dropped is not None and records <= DIVIDED_ROWS


def _dropped(found: Validation) -> list[tuple[str, str]]:
    """The records that would be left out, and why; or why that is not known."""
    if found.records_dropped is None:
        unknown = found.records_dropped_unknown
        return [] if unknown is None else [("records dropped", unknown)]
    facts = [("records dropped", str(found.records_dropped.count))]
    for each in found.records_dropped.reasons:
        of_dataset = " of the validation dataset" if each.validation_dataset else ""
        reason = each.code.lower().replace("_", " ")
        facts.append((f"{reason}{of_dataset}", f"{each.count}, {numbered(each.lines, each.count)}"))
    return facts


def forecast_facts(found: Validation) -> list[tuple[str, str]]:
    """What a run would take, as far as that is known before it starts."""
    facts = []
    if found.training_records is not None:
        tested = f"{found.validation_records} to test with"
        facts.append(("records", f"{found.training_records} to train on, {tested}"))
    if found.steps is not None:
        facts.append(("steps", str(found.steps)))
    if found.tokens_trained is not None:
        about = "" if _is_exact(found) else "about "
        facts.append(("tokens trained", f"{about}{found.tokens_trained}"))
    facts += _dropped(found)
    if found.near_leaks_unknown is not None:
        facts.append(("near leaks", found.near_leaks_unknown))
    if found.memory is not None:
        facts.append(("memory estimated", memory_estimate(found.memory)))
    if found.memory_unknown is not None:
        facts.append(("memory", found.memory_unknown))
    if found.time is not None:
        facts.append(("time estimated", time_estimate(found.time)))
    if found.time_unknown is not None:
        facts.append(("time", found.time_unknown))
    return facts
