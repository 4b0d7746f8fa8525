"""A transformers model taken apart into the decoder that is written out here."""

from collections.abc import Callable, Mapping

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor
from torch.nn import Module, Parameter
from transformers import PreTrainedModel

from training.engine.bounds import SHAPES
from training.engine.decoder import Decoder
from training.engine.fan import Fan
from training.engine.head import Head
from training.engine.layer import Attention, FeedForward, Layer
from training.engine.matrices import Plain
from training.engine.norm import RootMeanSquareNorm
from training.engine.projection import Adapter, Projection


class OtherShape(Exception):
    """The model is not shaped like the decoder written out here; says what is in the way."""


def read(model: PreTrainedModel) -> Decoder:
    """The decoder that computes what the model does, over the same parameters.

    Raises `OtherShape`.
    """
    config = model.config
    if isinstance(_output(model), LoraLayer):
        raise OtherShape("its output head carries an adapter")
    if config.model_type not in SHAPES:
        raise OtherShape(f"its layers are of the type {config.model_type}")
    if config.hidden_act != "silu":
        raise OtherShape(f"its activation is {config.hidden_act}")
    if getattr(config, "attention_dropout", 0.0):
        raise OtherShape(f"its attention drops out at a rate of {config.attention_dropout}")
    body: Module = model.get_decoder()  # type: ignore[no-untyped-call]
    rates = {rate for module in body.modules() for rate in _dropout_rates(module)}
    if len(rates) > 1:
        raise OtherShape("its adapters drop out at different rates")
    window = getattr(config, "sliding_window", None)
    layers = tuple(_layer(each, window) for each in _module(body, "layers").children())
    embedding = _tensor(_module(body, "embed_tokens"), "weight")
    return Decoder(
        embedding=embedding,
        trained_embedding=_trained(embedding),
        angles=_module(body, "rotary_emb"),
        layers=layers,
        norm=_norm(_module(body, "norm")),
        head=head_of(model),
        dropout=rates.pop() if rates else 0.0,
        widest=max(config.intermediate_size, config.hidden_size, _heads_width(layers, config)),
    )


def head_of(model: PreTrainedModel) -> Head:
    """The output head as the model's configuration describes it."""
    module = _output(model)
    config = model.config.get_text_config()
    scale = getattr(config, "logit_scale", None)
    divisor = getattr(config, "logits_scaling", None)
    weight, bias = _tensor(module, "weight"), _bias(module)
    return Head(
        weight=_plain(weight),
        bias=bias,
        trained_weight=_trained(weight),
        trained_bias=_trained(bias),
        scale=float(scale or 1.0) / float(divisor or 1.0),
        cap=getattr(config, "final_logit_softcapping", None),
    )


def _layer(module: Module, window: int | None) -> Layer:
    attention, forward = _module(module, "self_attn"), _module(module, "mlp")
    return Layer(
        attention_norm=_norm(_module(module, "input_layernorm")),
        attention=Attention(
            inputs=_fan(attention, "q_proj", "k_proj", "v_proj"),
            output=_fan(attention, "o_proj"),
            query_norm=_norm(attention.q_norm) if hasattr(attention, "q_norm") else None,
            key_norm=_norm(attention.k_norm) if hasattr(attention, "k_norm") else None,
            width=int(getattr(attention, "head_dim")),  # noqa: B009 - a module's plain attribute
            scale=float(getattr(attention, "scaling")),  # noqa: B009 - likewise
            window=getattr(attention, "sliding_window", window),
        ),
        feed_forward_norm=_norm(_module(module, "post_attention_layernorm")),
        feed_forward=FeedForward(
            opening=_fan(forward, "gate_proj", "up_proj"),
            down=_fan(forward, "down_proj"),
        ),
    )


def _fan(parent: Module, *names: str) -> Fan:
    return Fan(tuple(_projection(_module(parent, name)) for name in names))


def _projection(module: Module) -> Projection:
    base, adapter = module, None
    if isinstance(module, LoraLayer):
        base, adapter = module.get_base_layer(), _adapter(module)
    weight, bias = _tensor(base, "weight"), _bias(base)
    return Projection(
        matrix=Plain(_plain(weight), not hasattr(weight, "quant_state")),
        bias=bias,
        trained_weight=_trained(weight),
        trained_bias=_trained(bias),
        adapter=adapter,
    )


def _adapter(module: LoraLayer) -> Adapter:
    (name,) = module.active_adapters
    if module.use_dora.get(name):
        raise OtherShape("its adapters are weight-decomposed (DoRA)")
    if module.lora_bias.get(name):
        raise OtherShape("its adapters have a bias")
    down = _trained(_tensor(module.lora_A[name], "weight"))
    up = _trained(_tensor(module.lora_B[name], "weight"))
    if down is None or up is None:
        raise OtherShape("an adapter of it is frozen")
    return Adapter(down=down, up=up, scaling=float(module.scaling[name]))


def _dropout_rates(module: Module) -> list[float]:
    """The rates at which a module's adapters drop inputs."""
    if not isinstance(module, LoraLayer):
        return []
    return [float(getattr(each, "p", 0.0)) for each in module.lora_dropout.values()]


def _norm(module: Tensor | Module) -> RootMeanSquareNorm:
    assert isinstance(module, Module)  # noqa: S101 - a model's parts are found by name
    weight = _tensor(module, "weight")
    return RootMeanSquareNorm(weight, _trained(weight), float(getattr(module, "variance_epsilon")))  # noqa: B009


def _plain(weight: Tensor) -> Callable[[], Tensor]:
    """How to get a weight in the dtype computed in; what is stored in 4 bits is unpacked each time."""
    state = getattr(weight, "quant_state", None)
    if state is None:
        return lambda: weight
    from bitsandbytes.functional import dequantize_4bit  # optional, and takes seconds to import

    return lambda: torch.as_tensor(dequantize_4bit(weight.data, state))


def _trained(weight: Tensor | None) -> Parameter | None:
    return weight if isinstance(weight, Parameter) and weight.requires_grad else None


def _heads_width(layers: tuple[Layer, ...], config: object) -> int:
    """Elements of all heads' outputs, which the output projection takes."""
    return max(layer.attention.width for layer in layers) * int(
        getattr(config, "num_attention_heads")  # noqa: B009 - a configuration's plain attribute
    )


def _output(model: PreTrainedModel) -> Module:
    module: Module = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return module


def _module(parent: Module, name: str) -> Module:
    parts: Mapping[str, Module | None] = parent._modules
    found = parts.get(name)
    if found is None:
        raise OtherShape(f"{type(parent).__name__} has no part named {name}")
    return found


def _tensor(module: Module, name: str) -> Tensor:
    found = getattr(module, name)
    assert isinstance(found, Tensor)  # noqa: S101 - a module's attributes are typed as either
    return found


def _bias(module: Module) -> Tensor | None:
    return None if getattr(module, "bias", None) is None else _tensor(module, "bias")
