"""Training children that start at once: forked from a process that has imported torch already.

Beside that, they are what `tests.training.jobs.start_child` starts: processes of their own, that can
be killed, limited and changed without a trace in the process of the tests.
"""

import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["training.pipeline"])


def call_forked(function: Callable[..., None], *arguments: object) -> BaseProcess:
    """Call a function of a module in a child of its own."""
    child = _CONTEXT.Process(target=function, args=arguments)
    child.start()
    return child


def start_forked(job: Path, prepare: Callable[..., None], *arguments: object) -> BaseProcess:
    """Run a job as the service does, after `prepare(*arguments)` in the child.

    `prepare` is a function of a module, which the child imports.
    """
    child = _CONTEXT.Process(target=_run, args=(job, prepare, *arguments))
    child.start()
    return child


def left(child: BaseProcess) -> int | None:
    """The exit code of a child, once it has left."""
    child.join()
    code = child.exitcode
    child.close()
    return code


def hold_tokens(count: int) -> None:
    """Let a run begin with micro-batches of so many tokens."""
    from training.engine import making as engines  # torch: the child has it already

    engines.CPU_TOKENS = count


def estimate_nothing() -> None:
    """Leave out the estimate of memory, which takes two thirds of the time of a child that is to train
    a few steps, and changes nothing of them."""
    from training.estimates import EstimateMethod, MemoryEstimate  # as above
    from training.memory import accounting

    nothing = dict.fromkeys(MemoryEstimate.model_fields, 0) | {"method": EstimateMethod.DRY_RUN}
    accounting.memory_estimate = lambda *_: MemoryEstimate.model_validate(nothing)


def _run(job: Path, prepare: Callable[..., None], *arguments: object) -> None:
    import torch  # as above

    from training import run

    torch.set_num_threads(1)
    prepare(*arguments)
    sys.exit(run.main([str(job)]))
