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
