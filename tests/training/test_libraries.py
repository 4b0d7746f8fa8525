"""The libraries' manners, as a child process meets them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from training.libraries import prepare_environment
prepare_environment("somewhere/else")
import re
import torch

def held_mb():
    status = open("/proc/self/status").read()
    return int(re.search(r"RssAnon:\\s+(\\d+)", status)[1]) // 1024

torch.set_num_threads(1)
weight = torch.randn(576, 576).to(torch.bfloat16)

def products(lengths):
    for length in lengths:
        inputs = torch.randn(length, 576).to(torch.bfloat16)
        out = torch.nn.functional.linear(inputs, weight)
        inputs.addmm_(out, weight)
        out.t() @ inputs

products(range(100, 160))
before = held_mb()
products(range(160, 360))
print(held_mb() - before)
"""


@pytest.mark.slow
def test_products_of_ever_new_lengths_do_not_fill_the_memory() -> None:
    found = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM], check=True, capture_output=True, text=True
    )
    assert int(found.stdout) < 60


LEAN = """
import sys
from training.lean_imports import lean_imports
from training.libraries import leave_out_bitsandbytes, leave_out_unused
leave_out_bitsandbytes()
leave_out_unused()
with lean_imports(alone=True):
    from training import pipeline
unused = ("bitsandbytes", "pandas", "scipy", "torchaudio", "torchvision")
spared = ("torch._dynamo.eval_frame", "torch.distributed.tensor", "sympy", *unused)
print([name for name in spared if sys.modules.get(name)])

import torch
from transformers.models.llama import LlamaConfig
print(torch.distributed.is_available(), LlamaConfig().model_type)
weight = torch.ones(2, requires_grad=True)
weight.grad = torch.ones(2)
torch.optim.AdamW([weight], fused=True).step()
print([name for name in spared if sys.modules.get(name)])

from torch._dynamo.utils import counters
print(counters is sys.modules["torch._dynamo"].utils.counters, "torch._dynamo.eval_frame" in sys.modules)
print(torch.compile(lambda number: number + 1, backend="eager")(torch.ones(1)).item())
print(counters["frames"]["ok"])
"""


@pytest.mark.slow
def test_what_no_run_needs_is_imported_once_it_is_asked_for(tmp_path: Path) -> None:
    for name in ("scipy", "torchaudio", "torchvision"):  # as where they are installed
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("import torch._dynamo.utils")
        (tmp_path / f"{name}-1.0.dist-info").mkdir()
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        (tmp_path / f"{name}-1.0.dist-info" / "METADATA").write_text(about)
    found = subprocess.run(
        [sys.executable, "-P", "-c", LEAN],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert found.stdout.splitlines() == ["[]", "True llama", "[]", "True True", "2.0", "1"]
