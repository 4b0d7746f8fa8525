"""The inspection child: `python -P -m training.models.inspection SOURCE OUT.json [--lifeline]`.

Checks that a folder or hub id holds a causal language model whose weights are all there, and
writes `{"result": ModelFacts}` or `{"error": Failure}`. The exit code is 0 in both cases.
"""

import argparse
import os
import sys
from pathlib import Path

from training.files import write_whole
from training.libraries import imported_at_once, memory_failures_named, prepare_environment, silence
from training.models.facts import ModelFacts
from training.outcomes import outcome_of
from training.progress.pulse import Pulse
from training.progress.stopping import on_lost_parent


def main(arguments: list[str] | None = None) -> int:
    """Inspect one source; the exit code."""
    parser = argparse.ArgumentParser(
        prog="training.models.inspection", description="Inspect a model."
    )
    parser.add_argument("source")
    parser.add_argument("out", type=Path)
    parser.add_argument("--lifeline", action="store_true", help="leave when standard input ends")
    options = parser.parse_args(arguments)
    if options.lifeline:
        on_lost_parent(lambda: os._exit(1))  # nothing to save: a look is taken again
    prepare_environment(options.source)
    with Pulse(options.out.parent).while_busy():
        outcome = outcome_of(lambda: inspect(options.source))
    write_whole(options.out, outcome)
    return 0


def inspect(source: str) -> ModelFacts:
    """The facts of a model. Raises `ModelUnreadable` naming the first thing that is wrong."""
    with imported_at_once():
        silence()
        from training.models import architecture  # torch and transformers, seconds of imports

    with memory_failures_named():
        return architecture.facts(source)


if __name__ == "__main__":
    sys.exit(main())
