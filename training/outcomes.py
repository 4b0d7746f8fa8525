"""The result file of a child that has no event log."""

import json
import traceback
from collections.abc import Callable

from pydantic import BaseModel

from training.errors import TrainingError
from training.events import Failure


def outcome_of(work: Callable[[], BaseModel]) -> bytes:
    """What work gave, as `{"result": ...}`, or why it gave nothing, as `{"error": Failure}`."""
    try:
        return json.dumps({"result": work().model_dump(mode="json")}).encode()
    except TrainingError as error:
        failure = error.failure()
    except Exception as error:  # noqa: BLE001 - the task's edge: the parent must learn of it
        traceback.print_exc()
        failure = Failure(code="INTERNAL", message=f"{type(error).__name__}: {error}")
    return json.dumps({"error": failure.model_dump(mode="json")}).encode()
