"""How an estimate is said, and what is said when memory ran out all the same."""

import pickle

import pytest

from training.devices.hardware import Hardware
from training.errors import OutOfMemory
from training.estimates import EstimateMethod, MemoryEstimate
from training.memory.post_mortem import memory_failures_explained

ESTIMATE = MemoryEstimate(
    weights=1_000_000_000,
    gradients=20_000_000,
    optimizer=40_000_000,
    activations=3_000_000_000,
    logits=500_000_000,
    base=480_000_000,
    peak=5_040_000_000,
    available=4_000_000_000,
    method=EstimateMethod.DRY_RUN,
)
CPU = Hardware(device="cpu", name="x", cores=1, bfloat16=False)


def test_an_estimate_fits_where_its_peak_is_available() -> None:
    assert not ESTIMATE.fits
    assert ESTIMATE.model_copy(update={"available": ESTIMATE.peak}).fits


@pytest.mark.parametrize(
    ("component", "remedy"),
    [
        ("weights", "smaller model"),
        ("gradients", "LORA"),
        ("optimizer", "LORA"),
        ("activations", "maxSequenceLength"),
        ("logits", "maxSequenceLength"),
    ],
)
def test_the_remedy_is_for_what_takes_most(component: str, remedy: str) -> None:
    found = ESTIMATE.model_copy(update={component: 9_000_000_000}).remedy()
    assert found.startswith(f"Most is taken by {component}, 9.00 GB. ")
    assert remedy in found


def test_an_allocation_that_fails_is_told_beside_the_estimate() -> None:
    with pytest.raises(OutOfMemory) as caught, memory_failures_explained(ESTIMATE, CPU):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes.\nadvice")
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.code == "OUT_OF_MEMORY"
    first, second = error.message.split(". ", 1)
    assert first == (
        "The machine ran out of memory: DefaultCPUAllocator: can't allocate memory: "
        "you tried 8 bytes"
    )
    assert second.startswith("At most ")
    assert second.endswith(
        "; the estimate was 5.04 GB (weights 1.00 GB, gradients 0.02 GB, optimizer 0.04 GB, "
        "activations 3.00 GB, logits 0.50 GB, base 0.48 GB) with 4.00 GB available."
    )
    assert error.remedy == (
        "Most is taken by activations, 3.00 GB. "
        "Lower maxSequenceLength: what is held at once is at least the longest row."
    )


def test_other_failures_pass_unexplained() -> None:
    with pytest.raises(RuntimeError, match=r"^shapes"), memory_failures_explained(ESTIMATE, CPU):
        raise RuntimeError("shapes differ")
