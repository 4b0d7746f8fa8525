"""What a run left, number by number."""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor


def weights_of(job: Path) -> dict[str, Tensor]:
    """The weights, or the adapter's, of the model that a job made."""
    (path,) = (job / "model").glob("*.safetensors")
    return load_file(path)


def difference(first: Path, second: Path) -> float:
    """How far any weight of one job's model is from the other's; 0.0 where they are the same."""
    ours, theirs = weights_of(first), weights_of(second)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 0
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)
