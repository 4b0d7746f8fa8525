"""An answer as it is made: piece by piece, and what it took."""

import time
from collections.abc import Callable

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
    TextStreamer,
)

from training.methods.adapters import causal_model
from training.serving.errors import PromptTooLong, PromptUnusable
from training.serving.spec import Asked, Ended, Ending, Message, Parameters
from training.serving.warm import Ready, WarmModels

__all__ = ["answer"]


def answer(
    asked: Asked,
    models: WarmModels,
    *,
    said: Callable[[str], None],
    abandoned: Callable[[], bool],
) -> Ended:
    """Answer a conversation; `said` gets the text as it comes, in pieces that add up to it.

    It ends at the next token once `abandoned`. Raises a `TrainingError`.
    """
    began = time.monotonic()
    with models.ready(asked.served) as ready:
        ids = _prompt(ready.tokenizer, asked.messages)
        loaded = time.monotonic()
        room = _room(ready, len(ids))
        config = _config(asked.parameters, ready, room)
        streamer = _Pieces(ready.tokenizer, said)
        generate: Callable[..., Tensor] = causal_model(ready.model).generate  # type: ignore[assignment]
        device = causal_model(ready.model).device
        given = torch.tensor([ids], device=device)
        torch.manual_seed(asked.parameters.seed)
        with torch.inference_mode():
            made = generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                generation_config=config,
                streamer=streamer,
                stopping_criteria=StoppingCriteriaList([_Abandoned(abandoned)]),
                tokenizer=ready.tokenizer if config.stop_strings else None,
            )
    count = made.shape[1] - len(ids)
    now = time.monotonic()
    return Ended(
        ending=Ending.LENGTH if _is_cut(made, count, config, ready) else Ending.STOP,
        prompt_tokens=len(ids),
        answer_tokens=count,
        loading_seconds=loaded - began,
        first_seconds=(streamer.first_at or now) - loaded,
        seconds=now - loaded,
    )


class _Pieces(TextStreamer):
    """Passes text on once no later token can change it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, said: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._said = said
        self.first_at: float | None = None

    def put(self, value: Tensor) -> None:
        """A token, or first the prompt."""
        if not self.next_tokens_are_prompt and self.first_at is None:
            self.first_at = time.monotonic()
        super().put(value)  # type: ignore[no-untyped-call]

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """A piece of text."""
        del stream_end
        if text:
            self._said(text)


class _Abandoned(StoppingCriteria):
    """Stops where nobody listens any more."""

    def __init__(self, abandoned: Callable[[], bool]) -> None:
        self._abandoned = abandoned

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: object) -> Tensor:
        del scores
        return torch.full((len(input_ids),), self._abandoned(), device=input_ids.device)


def _prompt(tokenizer: PreTrainedTokenizerBase, messages: tuple[Message, ...]) -> list[int]:
    """The conversation in tokens, the assistant's turn begun; without a template the one message."""
    if tokenizer.chat_template is None:
        if len(messages) != 1:
            raise PromptUnusable("the model has no chat template, and takes one message alone")
        return list(tokenizer(messages[0].content)["input_ids"])
    try:
        text = tokenizer.apply_chat_template(
            [each.model_dump(mode="json") for each in messages],
            tokenize=False,
            add_generation_prompt=True,
        )
    except Exception as error:  # a template is somebody's program, and can raise anything
        raise PromptUnusable(str(error) or type(error).__name__) from error
    return list(tokenizer(str(text), add_special_tokens=False)["input_ids"])


def _room(ready: Ready, prompt_tokens: int) -> int | None:
    """Tokens that the answer may have; None where the model does not say how much it reads."""
    longest = getattr(causal_model(ready.model).config, "max_position_embeddings", None)
    if longest is None:
        return None
    if prompt_tokens >= longest:
        raise PromptTooLong(prompt_tokens, longest)
    return int(longest) - prompt_tokens


def _config(parameters: Parameters, ready: Ready, room: int | None) -> GenerationConfig:
    wanted = parameters.max_new_tokens
    stops = sorted(ready.stops)
    pad = ready.tokenizer.pad_token_id
    drawn = {"temperature": parameters.temperature, "top_p": parameters.top_p, "top_k": 0}
    config: GenerationConfig = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=wanted if room is None else min(wanted, room),
        do_sample=parameters.temperature > 0,
        eos_token_id=stops,
        pad_token_id=stops[0] if pad is None else pad,
        stop_strings=list(parameters.stop) or None,
        **(drawn if parameters.temperature > 0 else {}),
    )
    return config


def _is_cut(made: Tensor, count: int, config: GenerationConfig, ready: Ready) -> bool:
    """Whether it ended for want of room: at the last token allowed, and that is no stop token."""
    return count == config.max_new_tokens and int(made[0, -1]) not in ready.stops
