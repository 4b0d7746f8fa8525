"""Whether training moved anything: `python -m benchmarks.training.proof SAVED BASE` prints two counts.

How many of the saved weights are not what they began as, and how many could be told. Whole weights
are compared with the base; of an adapter, the matrices B are looked at, which begin as zeros. Read from
what an arm saved, so that nothing is held or counted while it is measured.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file


def main() -> None:
    """Count and print."""
    saved, base = (Path(argument) for argument in sys.argv[1:])
    adapter = saved / "adapter_model.safetensors"
    if adapter.is_file():
        pairs = [
            (tensor, torch.zeros_like(tensor))
            for name, tensor in load_file(adapter).items()
            if "lora_B" in name
        ]
    else:
        before = load_file(base / "model.safetensors")
        after = load_file(saved / "model.safetensors")
        pairs = [(tensor.float(), before[name].float()) for name, tensor in after.items()]
    changed = sum(int((new != old).sum()) for new, old in pairs)
    print(json.dumps([changed, sum(new.numel() for new, _ in pairs)]))


if __name__ == "__main__":
    main()
