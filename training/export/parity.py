"""Whether an exported folder is the trained model, found by loading it in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import torch

from training.errors import ParityFailed
from training.export.answers import Answers, adapter_answers, answers
from training.export.spec import ExportSpec, Parity
from training.models.base_models import load_base, stop_token_ids
from training.models.tokenizers import load_tokenizer

FIXED_TEXTS: Final = (
    "What is the capital of France?",
    "Explain in two sentences why the sky is blue.",
    "Write a Python function that returns the n-th Fibonacci number.\n\n    def fib(n):",
    "Translate to German: Good morning, how are you today?",
    "12 + 30 = ?  And 1.5e3 - 499?",
    "Déjà vu: naïve café, 東京, Привет, 🙂!",
)


class Bounds(NamedTuple):
    """How far a file may be from the trained model."""

    kl_divergence: float
    top1_agreement: float


EXACT: Final = Bounds(kl_divergence=1e-5, top1_agreement=0.99)
"""For weights stored in fp32 or fp16."""
ROUNDED: Final = Bounds(kl_divergence=1e-2, top1_agreement=0.97)
"""For weights stored in bf16, which keeps 8 bits of each number."""


def check_parity(spec: ExportSpec, folder: Path, *, scratch: Path, bounds: Bounds) -> Parity:
    """Compare an exported folder with the trained version in fp32.

    Raises `ParityFailed` with the first difference that is out of bounds.
    """
    texts = texts_of(spec)
    (scratch / "texts.json").write_text(json.dumps(texts))
    exported = _answers_of_process(spec, folder, scratch)
    return judge(compare(trained_answers(spec, texts), exported), bounds)


def texts_of(spec: ExportSpec) -> list[str]:
    """What both models are asked."""
    return [*FIXED_TEXTS, *spec.data_sample]


def trained_answers(spec: ExportSpec, texts: Sequence[str]) -> Answers:
    """What the trained version says, in fp32, its adapter unmerged beside the base it had."""
    if spec.adapter:
        return adapter_answers(
            Path(spec.version_path), spec.model_path, texts, quantised=spec.quantised
        )
    tokenizer = load_tokenizer(spec.version_path)
    model = load_base(spec.version_path, torch.float32)
    return answers(model, tokenizer, texts, stops=stop_token_ids(model, tokenizer))


def compare(trained: Answers, exported: Answers) -> Parity:
    """The figures of parity; tokens that differ leave nothing else to compare."""
    tokens_equal = all(
        torch.equal(first, second)
        for first, second in zip(trained.input_ids, exported.input_ids, strict=True)
    )
    if not tokens_equal:
        return Parity(
            tokens_equal=False,
            kl_divergence=float("inf"),
            top1_agreement=0.0,
            max_logit_difference=float("inf"),
            stop_token_respected=exported.stops_at_end_of_turn,
        )
    first, second = torch.cat(trained.logits).double(), torch.cat(exported.logits).double()
    expected = first.log_softmax(-1)
    divergence = (expected.exp() * (expected - second.log_softmax(-1))).sum(-1)
    return Parity(
        tokens_equal=True,
        kl_divergence=max(0.0, float(divergence.mean())),
        top1_agreement=float((first.argmax(-1) == second.argmax(-1)).double().mean()),
        max_logit_difference=float((first - second).abs().max()),
        stop_token_respected=exported.stops_at_end_of_turn,
    )


def judge(parity: Parity, bounds: Bounds) -> Parity:
    """The figures, if all are within bounds; raises `ParityFailed` with the first that is not."""
    if not parity.tokens_equal:
        raise ParityFailed("its tokenizer or chat template gives other tokens")
    if not parity.stop_token_respected:
        raise ParityFailed("its generation does not stop at the token that ends a turn")
    if not parity.kl_divergence <= bounds.kl_divergence:
        raise ParityFailed(
            f"the KL divergence is {parity.kl_divergence:.3g}, above {bounds.kl_divergence:.3g}"
        )
    if not parity.top1_agreement >= bounds.top1_agreement:
        raise ParityFailed(
            f"the likeliest token agrees at {parity.top1_agreement:.1%} of the positions, "
            f"below {bounds.top1_agreement:.0%}"
        )
    return parity


def _answers_of_process(spec: ExportSpec, folder: Path, scratch: Path) -> Answers:
    command = [sys.executable, "-P", "-m", "training.export.answers", str(folder), str(scratch)]
    if spec.adapter_only:
        command += ["--base", spec.model_path, *(["--quantised"] if spec.quantised else [])]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if finished.returncode != 0:
        reason = (finished.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise ParityFailed(f"it cannot be loaded: {reason}")
    return Answers.read(scratch)
