"""Two models' answers side by side: the figures of parity, and the first place where they part."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from training.export.answers import Answers
from training.export.questions import FIXED, HOSTILE_STRINGS
from training.export.reading import Reading
from training.export.spec import Parity

__all__ = ["compare"]


def compare(trained: Answers, exported: Answers) -> Parity:
    """The figures of parity over all passes; texts or tokens that differ leave nothing else to compare."""
    other_template = _other_template(trained.reading, exported.reading)
    other_tokens = _other_tokens(trained.reading, exported.reading)
    figures = _INCOMPARABLE
    if other_template is None and other_tokens is None:
        figures = _figures(trained, exported)
    return Parity(
        tokens_equal=other_tokens is None,
        kl_divergence=figures.kl_divergence,
        top1_agreement=figures.top1_agreement,
        max_logit_difference=figures.max_logit_difference,
        stop_token_respected=exported.reading.stops_at_end_of_turn,
        template_equal=other_template is None,
        single_bos=exported.reading.leading_bos <= 1,
        positions=figures.positions,
        job_rows=max(0, len(trained.reading.names) - len(FIXED)),
        first_difference=other_template or other_tokens or figures.first_difference,
    )


class _Figures(NamedTuple):
    kl_divergence: float
    top1_agreement: float
    max_logit_difference: float
    positions: int
    first_difference: str | None


_INCOMPARABLE: Final = _Figures(float("inf"), 0.0, float("inf"), 0, None)


class _Text(NamedTuple):
    """One text by one pass."""

    divergences: Tensor
    """Of each position, in nats."""
    agree: Tensor
    """Of each position, whether the likeliest token is the same."""
    max_difference: Tensor
    first_difference: str | None


def _figures(trained: Answers, exported: Answers) -> _Figures:
    texts = list(_texts(trained, exported))
    divergences = torch.cat([text.divergences for text in texts])
    agree = torch.cat([text.agree for text in texts])
    return _Figures(
        kl_divergence=float(divergences.mean().clamp(min=0)),
        top1_agreement=float(agree.double().mean()),
        max_logit_difference=float(torch.stack([text.max_difference for text in texts]).max()),
        positions=len(agree),
        first_difference=next(
            (text.first_difference for text in texts if not text.agree.all()), None
        ),
    )


def _texts(trained: Answers, exported: Answers) -> Iterator[_Text]:
    read = trained.reading
    for way, passed in exported.passes.items():
        begun: set[tuple[int, ...]] = set()
        texts = zip(read.names, read.input_ids, trained.logits, passed, strict=False)
        for name, ids, first, second in texts:
            known = _known_tokens(ids, begun)
            if known < len(ids):
                where = f"{name} {way}"
                yield _compared(first[known:].double(), second[known:].double(), where, known)


def _known_tokens(ids: tuple[int, ...], begun: set[tuple[int, ...]]) -> int:
    """How many tokens a text begins with that one before it began with, too: what follows those was
    compared there, and a system prompt that all share would outweigh everything else."""
    beginnings = [ids[:length] for length in range(1, len(ids) + 1)]
    known = sum(each in begun for each in beginnings)
    begun.update(beginnings[known:])
    return known


def _compared(trained: Tensor, exported: Tensor, where: str, known: int) -> _Text:
    expected, found = trained.argmax(-1), exported.argmax(-1)
    logarithms = trained.log_softmax(-1)
    divergences = (logarithms.exp() * (logarithms - exported.log_softmax(-1))).sum(-1)
    agree = expected == found
    place = int(agree.int().argmin())
    return _Text(
        divergences,
        agree,
        (trained - exported).abs().max(),
        f"after {known + place + 1} tokens of {where}, {int(found[place])} is the likeliest next token "
        f"instead of {int(expected[place])}",
    )


def _other_template(trained: Reading, exported: Reading) -> str | None:
    for name, first, second in zip(trained.names, trained.prompts, exported.prompts, strict=True):
        if first != second:
            return f"{name}, from character {_parting(first, second) + 1} on"
    return None


def _other_tokens(trained: Reading, exported: Reading) -> str | None:
    texts = zip(trained.names, trained.input_ids, exported.input_ids, strict=True)
    strings = zip(
        map(ascii, HOSTILE_STRINGS), trained.hostile_ids, exported.hostile_ids, strict=True
    )
    for name, first, second in (*texts, *strings):
        if first != second:
            place = _parting(first, second)
            return (
                f"{name}, from token {place + 1} on: {_some(second, place)} instead of "
                f"{_some(first, place)}"
            )
    return None


def _some(ids: Sequence[int], place: int) -> str:
    return ", ".join(map(str, ids[place : place + 3])) or "nothing"


def _parting(first: Sequence[object], second: Sequence[object]) -> int:
    """How many items both begin with alike."""
    both = zip(first, second, strict=False)
    return next(
        (place for place, (a, b) in enumerate(both) if a != b), min(len(first), len(second))
    )
