"""Bases held in 4 bits: NF4 with double quantisation, by bitsandbytes.

The decoder's linear layers are quantised; embeddings, head, norms and biases are not. Always from
the stored weights in fp32 and on the CPU, so that a base has the same 4 bits on every machine.
"""

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor
from transformers import BitsAndBytesConfig, PreTrainedModel

from training.errors import BitsandbytesUnavailable
from training.models.base_models import load_base
from training.models.modules import inputs_first
from training.models.tokenizers import first_line

if TYPE_CHECKING:  # imported where it is used, since some platforms lack it
    from bitsandbytes.functional import QuantState
    from bitsandbytes.nn.modules import Linear4bit

_FAILURES: Final = (ImportError, OSError, RuntimeError, NotImplementedError, AttributeError)
"""What bitsandbytes raises where it has no library, or no kernel for the device."""


def require_bitsandbytes(device: str) -> None:
    """Try bitsandbytes on a small tensor. Raises `BitsandbytesUnavailable` with its reason."""
    try:
        from bitsandbytes import functional  # absent or broken on some platforms

        packed, state = functional.quantize_4bit(
            torch.ones(64, device=device), quant_type="nf4", compress_statistics=True
        )
        functional.dequantize_4bit(packed, state)
    except _FAILURES as error:
        raise BitsandbytesUnavailable(device, first_line(error)) from error


def load_quantised(source: str, dtype: torch.dtype) -> PreTrainedModel:
    """A base in 4 bits, on the CPU, that computes in `dtype` and holds in it what stays whole.

    Raises `ModelUnreadable` and `BitsandbytesUnavailable`.
    """
    require_bitsandbytes("cpu")
    nf4 = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    model = load_base(source, torch.float32, quantisation=nf4)
    for module in quantised_layers(model).values():
        # In evaluation on a CPU with bf16 the layer would repack itself into a form that rounds its
        # scales and passes no gradient on, also not when training continues.
        module.support_avx512bf16_for_cpu = False
        _state(module).dtype = dtype
    _cast_what_stays_whole(model, dtype)
    return model


def load_dequantised(source: str) -> PreTrainedModel:
    """A base in fp32 whose linear layers have the values that their 4 bits stand for."""
    from bitsandbytes.functional import dequantize_4bit  # see `require_bitsandbytes`

    quantised = quantised_layers(load_quantised(source, torch.float32))
    model = load_base(source, torch.float32)
    with torch.no_grad():
        for name, module in quantised.items():
            values = dequantize_4bit(module.weight.data, _state(module))
            plain = model.get_submodule(name)
            assert isinstance(plain.weight, Tensor)  # noqa: S101 - found by name
            plain.weight.copy_(values.T if inputs_first(plain) else values)
    return model


def quantised_layers(model: PreTrainedModel) -> dict[str, "Linear4bit"]:
    """The layers that are held in 4 bits, by name."""
    from bitsandbytes.nn.modules import Linear4bit  # see `require_bitsandbytes`

    return {name: each for name, each in model.named_modules() if isinstance(each, Linear4bit)}


def _state(module: "Linear4bit") -> "QuantState":
    """What the 4 bits of a layer stand for."""
    state: QuantState = module.weight.quant_state  # type: ignore[attr-defined]  # a Params4bit
    return state


def _cast_what_stays_whole(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Embeddings, head, norms and biases, but for those an architecture wants in fp32."""
    kept = (*(model._keep_in_fp32_modules or ()), *(model._keep_in_fp32_modules_strict or ()))
    for name, parameter in model.named_parameters():
        wants_fp32 = any(f".{part}." in f".{name}." for part in kept)
        if parameter.is_floating_point() and not wants_fp32:
            parameter.data = parameter.data.to(dtype)
