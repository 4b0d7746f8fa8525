"""A process of a run that does as `script.json` in the job's folder says, and trains nothing.

The script has a list of steps for each rank: ["word", code, message], ["event", line], ["ask", tokens]
for a start with a lower limit, ["exit", code], ["kill", signal], ["wait"] until asked to stop, ["hang"]
even then.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from training.devices.limit import TokenLimit, ask_for
from training.devices.ranks import place_in, word_file
from training.event_log import EventLog
from training.events import Failure, Finished, Outcome, parse
from training.progress.stopping import on_lost_parent


def main() -> None:
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    assert sys.argv[2:] == ["--lifeline"]
    on_lost_parent(asked.set)
    job = Path(sys.argv[1])
    place = place_in(os.environ)
    (job / f"pid-{place.rank}").write_text(str(os.getpid()))
    for step in json.loads((job / "script.json").read_text())[place.rank]:
        _do(step, job, place.rank, asked)


def _do(step: list[Any], job: Path, rank: int, asked: threading.Event) -> None:
    match step:
        case ["word", code, message]:
            error = Failure(code=code, message=message)
            log = EventLog(word_file(job, rank))
            log.emit(Finished(outcome=Outcome.FAILED, error=error))
            log.close()
        case ["event", line]:
            log = EventLog(job / "events.jsonl")
            log.emit(parse(line.encode()))
            log.close()
        case ["ask", tokens]:
            ask_for(TokenLimit(tokens=tokens, reason="It ran out."), job, rank=rank)
        case ["exit", code]:
            sys.exit(code)
        case ["kill", number]:
            os.kill(os.getpid(), number)
        case ["wait"]:
            asked.wait()
        case ["hang"]:
            while True:
                time.sleep(60)


if __name__ == "__main__":
    main()
