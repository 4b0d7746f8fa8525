"""What a model answers when it is asked."""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedTokenizerBase

from training.devices.hardware import Hardware
from training.devices.world import Passage, directly
from training.methods.adapters import TrainableModel, causal_model
from training.models.base_models import stop_token_ids


@torch.no_grad()
def answer(
    model: TrainableModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    *,
    hardware: Hardware,
    max_new_tokens: int = 64,
    through: Passage = directly,
) -> str:
    """The likeliest answer to one user message, through the chat template, up to its stop token.

    `through` is what the model's passes must run in.
    """
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
    )
    asked = tokenizer(str(text), add_special_tokens=False, return_tensors="pt").to(hardware.device)
    config = greedy(model, tokenizer, max_new_tokens)
    was_training = model.training
    model.eval()
    generate: Callable[..., Tensor] = causal_model(model).generate  # type: ignore[assignment]
    generated = through(
        lambda: generate(
            input_ids=asked["input_ids"],
            attention_mask=asked["attention_mask"],
            generation_config=config,
        )
    )
    model.train(was_training)
    new = generated[0, asked["input_ids"].shape[1] :]
    return str(tokenizer.decode(new, skip_special_tokens=True)).strip()


def greedy(
    model: TrainableModel, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int
) -> GenerationConfig:
    """The likeliest token each time, up to a stop token or so many."""
    stops = sorted(stop_token_ids(causal_model(model), tokenizer))
    config: GenerationConfig = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=stops,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else stops[0],
    )
    return config
