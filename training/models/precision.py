"""Which parameters a model computes with in fp32, whatever the rest of it is brought to.

Some architectures name such: the routers of several mixtures, the scan of state-space layers. A list of
transformers' own, `_keep_in_fp32_modules_strict`, holds for bf16 and fp16; another, for fp16 alone, is
about weights that overflow there, and bf16 leaves it aside.
"""

import re
from collections.abc import Mapping
from typing import Final

import torch
from torch.nn import Module
from transformers import PreTrainedModel

_ADAPTED: Final = ".base_layer."
"""What peft puts into the name of a weight that it lays an adapter beside."""


def precisions(model: Module, dtype: torch.dtype) -> Mapping[str, torch.dtype]:
    """What each parameter of a model that is brought to `dtype` is computed with, by its name: as
    transformers would load it, wherever in the model its architectures lie."""
    patterns = [
        name.replace("*", ".*")
        for part in model.modules()
        if isinstance(part, PreTrainedModel)
        for name in part._get_dtype_plan(dtype)
    ]
    kept = re.compile("|".join(patterns)) if patterns else None
    return {
        name: torch.float32 if kept and kept.search(name.replace(_ADAPTED, ".")) else dtype
        for name, _ in model.named_parameters()
    }
