"""A model's shape by its configuration, held against the weights its folder holds."""

import hashlib
from pathlib import Path
from typing import Final

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.errors import ModelUnreadable
from training.files import sha256_of
from training.models.base_models import load_base
from training.models.facts import ModelFacts
from training.models.licences import declared_licence
from training.models.modules import decoder_layers, has_fused_experts, linear_parameters
from training.models.shape import shape_of
from training.models.sources import local_folder
from training.models.tokenizers import declared_stop_ids, load_tokenizer
from training.models.tokens import tokenizer_facts
from training.models.weights import StoredWeights, stored_weights, weight_files
from training.templates.applying import supported

_CONTEXT_OPTIONS: Final = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


def facts(source: str) -> ModelFacts:
    """Everything `ModelFacts` names. Raises `ModelUnreadable`."""
    folder = local_folder(source)
    config = _config(folder, source)
    stored = stored_weights(folder)
    model = _on_meta(config, source)
    _check_weights(model, stored, folder=folder)
    tokenizer = load_tokenizer(str(folder))
    return ModelFacts(
        architecture=type(model).__name__,
        parameter_count=sum(each.numel() for each in model.parameters()),
        layer_count=len(decoder_layers(model)) or None,
        fused_experts=has_fused_experts(model),
        linear_parameters=linear_parameters(model),
        shape=shape_of(model),
        tokenizer=tokenizer_facts(tokenizer),
        context_length=_context_length(config),
        licence=declared_licence(folder),
        has_chat_template=tokenizer.chat_template is not None,
        chat_templates=supported(tokenizer),
        stop_tokens=_stop_tokens(tokenizer, folder),
        dtype=stored.dtype,
        size_bytes=stored.size_bytes,
        sha256=_checksum(folder, stored),
        content_sha256=_content_checksum(folder),
    )


def _stop_tokens(tokenizer: PreTrainedTokenizerBase, folder: Path) -> tuple[str, ...]:
    ids = sorted(declared_stop_ids(str(folder), tokenizer))
    known = len(tokenizer)  # a configuration may name more than there are
    return tuple(str(tokenizer.convert_ids_to_tokens(each)) for each in ids if each < known)


def _config(folder: Path, source: str) -> PretrainedConfig:
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelUnreadable(source, f"no usable config.json: {reason}") from error
    assert isinstance(config, PretrainedConfig)  # noqa: S101 - AutoConfig is untyped
    return config


def _on_meta(config: PretrainedConfig, source: str) -> PreTrainedModel:
    """The model without memory: names and shapes alone."""
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                config, trust_remote_code=False
            )
    except (ValueError, TypeError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        raise ModelUnreadable(source, f"it is no causal language model: {reason}") from error
    assert isinstance(model, PreTrainedModel)  # noqa: S101 - AutoModel is untyped
    model.tie_weights()
    return model


def _check_weights(model: PreTrainedModel, stored: StoredWeights, *, folder: Path) -> None:
    """See that every weight is there once, in its shape.

    Names that differ may be an older layout that transformers converts; then the model is loaded,
    and transformers itself is the judge.
    """
    expected = {name: tuple(each.shape) for name, each in model.state_dict().items()}
    for name, shape in stored.shapes.items():
        if name in expected and expected[name] != shape:
            raise ModelUnreadable(
                folder.name,
                f"the weight {name} has shape {list(shape)}, but config.json asks for "
                f"{list(expected[name])}",
            )
    missing = expected.keys() - stored.shapes.keys() - _tied(model)
    if missing or stored.shapes.keys() - expected.keys():
        load_base(str(folder), torch.bfloat16)


def _tied(model: PreTrainedModel) -> set[str]:
    """Names that are another name's parameter too, and so need not be stored."""
    seen: set[int] = set()
    tied = set()
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in seen:
            tied.add(name)
        seen.add(id(parameter))
    return tied


def _context_length(config: PretrainedConfig) -> int | None:
    text = config.get_text_config()
    for option in _CONTEXT_OPTIONS:
        value = getattr(text, option, None)
        if isinstance(value, int):
            return value
    return None


def _content_checksum(folder: Path) -> str:
    others = [path for path in folder.glob("*.json") if not path.name.endswith(".index.json")]
    paths = {*weight_files(folder), *others, *folder.glob("*.jinja"), *folder.glob("*.model")}
    listed = (f"{path.name} {sha256_of(path)}\n" for path in sorted(paths))
    return hashlib.sha256("".join(listed).encode()).hexdigest()


def _checksum(folder: Path, stored: StoredWeights) -> str:
    content = (folder / "config.json").read_bytes() + stored.headers
    return hashlib.sha256(content).hexdigest()
