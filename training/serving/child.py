"""The child that answers: `python -P -m training.serving.child BYTES`.

It holds models of at most so many bytes. Each line of standard input is an `Asked`, or the word
`abandon`, which ends the answer under way; each line of standard output is a `Reply`, and what ends
an answer is an `Ended` or an `Unable`. It leaves when its input ends, which it does when its parent
dies.
"""

import argparse
import os
import queue
import sys
import threading
import traceback
from typing import TYPE_CHECKING, BinaryIO

from training.errors import TrainingError
from training.events import Failure
from training.libraries import imported_at_once, memory_failures_named, prepare_environment, silence
from training.serving.spec import ABANDON, Asked, Piece, Reply, Unable

if TYPE_CHECKING:
    from training.serving.warm import WarmModels

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Answer until there are no more questions; the exit code."""
    parser = argparse.ArgumentParser(prog="training.serving.child", description="Answer.")
    parser.add_argument("bytes", type=int)
    options = parser.parse_args(arguments)
    replies = _own_output()
    prepare_environment()
    with imported_at_once():
        silence()
        from training.devices.hardware import probe  # torch and transformers, seconds of imports
        from training.serving.warm import WarmModels

    models = WarmModels(probe(), allowed_bytes=options.bytes)
    questions: queue.Queue[bytes] = queue.Queue()
    abandoned = threading.Event()
    threading.Thread(target=_listen, args=(questions, abandoned), daemon=True).start()
    while True:
        line = questions.get()
        abandoned.clear()
        _answer(line, models, replies, abandoned)


def _listen(questions: "queue.Queue[bytes]", abandoned: threading.Event) -> None:
    for line in sys.stdin.buffer:
        if line.strip() == ABANDON:
            abandoned.set()
        else:
            questions.put(line)
    os._exit(0)  # nobody is there to be answered


def _answer(
    line: bytes, models: "WarmModels", replies: BinaryIO, abandoned: threading.Event
) -> None:
    from training.serving.answering import answer  # see `main`

    def say(reply: Reply) -> None:
        replies.write(reply.model_dump_json().encode() + b"\n")
        replies.flush()

    try:
        with memory_failures_named():
            asked = Asked.model_validate_json(line)
            ended = answer(
                asked,
                models,
                said=lambda text: say(Piece(text=text)),
                abandoned=abandoned.is_set,
            )
        say(ended)
    except TrainingError as error:
        say(Unable(failure=error.failure()))
    except Exception as error:  # noqa: BLE001 - the child's edge: the parent must learn of it
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        say(Unable(failure=Failure(code="INTERNAL", message=message)))


def _own_output() -> BinaryIO:
    """Standard output for replies alone: what libraries print there goes to standard error."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


if __name__ == "__main__":
    sys.exit(main())
