"""The manners of the machine-learning libraries in a child process."""

import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from training.errors import OutOfMemory

_PRIMITIVES: Final = "64"
"""Kernels that are kept compiled. A pack of a new length needs some twenty-five, of about a megabyte
each; by default a thousand are kept, long after their lengths have gone."""
_PRIMITIVE_CACHES: Final = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""What bounds oneDNN's own cache, and the one by which torch holds on to the same kernels."""

_UNUSED: Final = ("pandas", "scipy", "torchaudio", "torchvision")
"""For tables given to pyarrow, for losses of models that find objects, for sounds and for pictures."""

_ALLOCATION_FAILURES: Final = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    # oneDNN's words, whatever the cause: what it has computed before it lacks memory for alone
    "could not create a primitive",
    "could not create a memory object",
    "could not execute a primitive",
)
_FALLBACK: Final = " failed, switching to "
"""In what torch warns of where oneDNN fails at a bf16 product: that it computes this one otherwise, and
from then on every one, a hundred times slower."""


def prepare_environment(source: str | None = None) -> None:
    """Set what must be set before torch is imported: threads that wait without burning a core,
    and for a model in a local folder no network."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for cache in _PRIMITIVE_CACHES:
        os.environ.setdefault(cache, _PRIMITIVES)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if source is not None and Path(source).is_dir():
        os.environ["HF_HUB_OFFLINE"] = "1"


@contextmanager
def imported_at_once() -> Iterator[None]:
    """Import heavy libraries in this block without looking for garbage, of which they make none:
    that takes a quarter of the time. What they made is never looked at again."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def leave_out_bitsandbytes() -> None:
    """Keep peft and transformers from importing it, as they do wherever it is installed: it takes
    two seconds and 50 MB, and most runs have no use for it."""
    sys.modules["bitsandbytes"] = None  # type: ignore[assignment]  # how Python notes an absence


def leave_out_unused() -> None:
    """Keep pyarrow and transformers from importing what no run has a use for, as they do wherever it is
    installed. That takes a second and more and 160 MB: torchvision asks for all of torch's compiler."""
    for name in _UNUSED:
        sys.modules[name] = None  # type: ignore[assignment]  # as above


def leave_out_torch() -> None:
    """Keep transformers from importing torch, which tokenizers do without."""
    os.environ["USE_TORCH"] = "0"
    sys.modules["torch"] = None  # type: ignore[assignment]  # as above


def silence() -> None:
    """No progress bars and no advice; errors are still told. Imports transformers."""
    from transformers.utils import logging as advice  # heavy, after `prepare_environment`

    advice.disable_progress_bar()  # type: ignore[no-untyped-call]
    advice.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(_is_of_use)


def refuse_slow_products() -> None:
    """Make an error of torch's warning that bf16 products are computed without oneDNN from now on, so
    that `memory_failures_named` can name it and turn oneDNN on again."""
    warnings.filterwarnings("error", message=f".*{_FALLBACK}", category=UserWarning)


def _is_of_use(record: logging.LogRecord) -> bool:
    """bitsandbytes says at each import that it lacks an inference kernel of the hub's."""
    return not record.getMessage().startswith("Failed to load CPU gemm_4bit_forward")


@contextmanager
def memory_failures_named() -> Iterator[None]:
    """Turn the ways an allocation fails in torch into `OutOfMemory`."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory(str(error)) from error
    except (RuntimeError, UserWarning) as error:
        text = str(error).partition(" (Triggered internally")[0]
        if _FALLBACK in text:
            _turn_onednn_on()
        if any(sign in text.lower() for sign in _ALLOCATION_FAILURES):
            raise OutOfMemory(text.splitlines()[0].rstrip(".")) from error
        raise


def _turn_onednn_on() -> None:
    import torch  # it is there: the warning is its own

    torch.backends.mkldnn.enabled = True  # type: ignore[assignment]  # a property of the module
