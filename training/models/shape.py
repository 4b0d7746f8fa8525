"""The shape of a model whose architecture is known, read from its configuration and its modules."""

from typing import Final

from torch.nn import Module, ModuleList
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from training.models.facts import Linear, ModelShape
from training.models.modules import decoder_layers, linear_layers

KNOWN: Final = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma2", "gpt2"})
"""Model types whose memory is known from their shape."""

_ACTIVATIONS: Final = ("hidden_act", "hidden_activation", "activation_function")
"""The names that configurations have for it."""


def shape_of(model: PreTrainedModel) -> ModelShape | None:
    """The shape; None for an architecture that is not among the known ones."""
    config = model.config
    if config.model_type not in KNOWN:
        return None
    layers = decoder_layers(model)
    heads = int(config.num_attention_heads)
    intermediate = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None)
    activation = next(value for name in _ACTIVATIONS if (value := getattr(config, name, None)))
    dropout = getattr(config, "attention_dropout", None) or getattr(config, "attn_pdrop", 0.0)
    embeddings: Module = model.get_input_embeddings()
    head: Module = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return ModelShape(
        model_type=config.model_type,
        hidden_size=int(config.hidden_size),
        intermediate_size=int(intermediate or 4 * config.hidden_size),
        heads=heads,
        key_value_heads=int(getattr(config, "num_key_value_heads", None) or heads),
        head_size=int(getattr(config, "head_dim", None) or config.hidden_size // heads),
        vocabulary_size=int(config.vocab_size),
        head_is_tied=head.weight is embeddings.weight,
        embedding_parameters=_parameters(embeddings),
        layer_parameters=_parameters(layers[0]),
        linears=_linears(model, layers),
        activation=str(activation),
        attention_dropout=float(dropout or 0.0),
        squashes_logits=getattr(config, "final_logit_softcapping", None) is not None,
    )


def _linears(model: PreTrainedModel, layers: ModuleList) -> tuple[Linear, ...]:
    """Those of the first layer, which are those of every layer."""
    ours = {id(module) for module in layers[0].modules()}
    found = []
    for name, module in linear_layers(model).items():
        if id(module) not in ours:
            continue
        rows, columns = module.weight.shape
        inputs, outputs = (rows, columns) if isinstance(module, Conv1D) else (columns, rows)
        within = name.partition(".0.")[2]
        found.append(
            Linear(name=within, inputs=inputs, outputs=outputs, biased=module.bias is not None)
        )
    return tuple(found)


def _parameters(module: Module) -> int:
    return sum(each.numel() for each in module.parameters())
