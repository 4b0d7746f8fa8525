"""The libraries' manners, as a child process meets them."""

import subprocess
import sys

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
from training.libraries import leave_out_bitsandbytes, leave_out_pandas
leave_out_bitsandbytes()
leave_out_pandas()
with lean_imports(alone=True):
    from training import pipeline
spared = ("torch._dynamo.eval_frame", "torch.distributed.tensor", "sympy", "bitsandbytes", "pandas")
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
def test_what_no_run_needs_is_imported_once_it_is_asked_for() -> None:
    found = subprocess.run(
        [sys.executable, "-P", "-c", LEAN], check=True, capture_output=True, text=True
    )
    assert found.stdout.splitlines() == ["[]", "True llama", "[]", "True True", "2.0", "1"]
