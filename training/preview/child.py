"""The warm child: `python -P -m training.preview.child`.

Answers each line of standard input with a line on standard output, as `questions` has them, and
leaves with 0 when its input ends, which it does when its parent dies. It leaves with 1 after an
answer that has made it too large: a new one is cheap.
"""

import os
import resource
import sys
from functools import partial
from typing import BinaryIO, Final

from pydantic import BaseModel

from training.devices.process import resident_bytes
from training.libraries import imported_at_once, leave_out_torch, prepare_environment, silence
from training.outcomes import outcome_of
from training.preview.questions import (
    ComparisonQuestion,
    Kind,
    PreviewQuestion,
    Question,
    RowsQuestion,
)

__all__ = ["main"]

LARGEST_BYTES: Final = 700 * 1024**2
"""Resident; above it the process makes room by leaving."""
LARGEST_ADDRESSES: Final = 4 * 1024**3
"""What can be asked for at all: a template can ask for anything."""


def main() -> int:
    """Answer until there are no more questions; the exit code."""
    answers = _own_output()
    resource.setrlimit(resource.RLIMIT_AS, (LARGEST_ADDRESSES, LARGEST_ADDRESSES))
    prepare_environment()
    leave_out_torch()
    with imported_at_once():
        silence()
        from training.preview.answering import Previewer  # transformers: most of a second
        from training.preview.leaking import compared

    previewer = Previewer()

    def answer(line: bytes) -> BaseModel:
        asked = Question.model_validate_json(line)
        match asked.kind:
            case Kind.PREVIEW:
                return previewer.preview(PreviewQuestion.model_validate(asked.question))
            case Kind.ROWS:
                return previewer.rows(RowsQuestion.model_validate(asked.question))
            case Kind.LEAKS:
                return previewer.leaks(RowsQuestion.model_validate(asked.question))
            case Kind.COMPARISON:
                return compared(ComparisonQuestion.model_validate(asked.question))

    for line in sys.stdin.buffer:
        answers.write(outcome_of(partial(answer, line)) + b"\n")
        answers.flush()
        if resident_bytes() > LARGEST_BYTES:
            return 1
    return 0


def _own_output() -> BinaryIO:
    """Standard output for answers alone: what libraries print there goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


if __name__ == "__main__":
    sys.exit(main())
