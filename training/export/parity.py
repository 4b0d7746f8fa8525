"""Whether an exported folder is the trained model, found by loading it in a process of its own."""

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import torch

from training.errors import ParityFailed
from training.export.answers import Answers, adapter_answers, answers
from training.export.bounds import EXACT, ROUNDED, Bounds
from training.export.comparing import compare
from training.export.errors import NoRoomForExport
from training.export.job_rows import job_rows
from training.export.questions import FIXED, Question, write_questions
from training.export.spec import ExportSpec, Parity
from training.models.base_models import load_base, stop_token_ids
from training.models.tokenizers import load_tokenizer

__all__ = [
    "EXACT",
    "ROUNDED",
    "Bounds",
    "Trained",
    "check_parity",
    "compare",
    "judge",
    "questions_of",
    "trained_answers",
]


class Trained:
    """What the trained version says to the questions, in fp32: computed once, for all that is compared
    with it."""

    def __init__(self, spec: ExportSpec) -> None:
        self._spec = spec
        self.questions: Final = questions_of(spec)

    @cached_property
    def answers(self) -> Answers:
        """Its answers."""
        return trained_answers(self._spec, self.questions)


def check_parity(
    trained: Trained, asker: Sequence[str], *, scratch: Path, bounds: Bounds
) -> Parity:
    """Compare what an asker is told by an exported folder with the trained version.

    Raises `ParityFailed` with the first difference that is out of bounds, and `NoRoomForExport`.
    """
    write_questions(scratch / "questions.json", trained.questions)
    exported = _answers_of_process(asker, scratch)
    return judge(compare(trained.answers, exported), bounds)


def questions_of(spec: ExportSpec) -> list[Question]:
    """What both models are asked."""
    rows = job_rows(Path(spec.job_path), spec.version_path) if spec.job_path else []
    return [*FIXED, *rows]


def trained_answers(spec: ExportSpec, questions: Sequence[Question]) -> Answers:
    """What the trained version says, in fp32, its adapter unmerged beside the base it had."""
    if spec.adapter:
        return adapter_answers(
            Path(spec.version_path), spec.model_path, questions, quantised=spec.quantised
        )
    tokenizer = load_tokenizer(spec.version_path)
    model = load_base(spec.version_path, torch.float32)
    return answers(model, tokenizer, questions, stops=stop_token_ids(model, tokenizer))


def judge(parity: Parity, bounds: Bounds) -> Parity:
    """The figures, if all are within bounds; raises `ParityFailed` with the first that is not."""
    where = f"; first, {parity.first_difference}" if parity.first_difference else ""
    if not parity.template_equal:
        raise ParityFailed(f"its chat template gives other texts{where}")
    if not parity.tokens_equal:
        raise ParityFailed(f"its tokenizer gives other tokens{where}")
    if not parity.single_bos:
        raise ParityFailed("its prompts begin with more than one BOS token")
    if not parity.stop_token_respected:
        raise ParityFailed("its generation does not stop at the token that ends a turn")
    if not parity.kl_divergence <= bounds.kl_divergence:
        raise ParityFailed(
            f"the KL divergence is {parity.kl_divergence:.3g}, above "
            f"{bounds.kl_divergence:.3g}{where}"
        )
    if not parity.top1_agreement >= bounds.top1_agreement:
        raise ParityFailed(
            f"the likeliest token agrees at {parity.top1_agreement:.1%} of the positions, "
            f"below {bounds.top1_agreement:.0%}{where}"
        )
    return parity


def _answers_of_process(asker: Sequence[str], scratch: Path) -> Answers:
    command = [sys.executable, "-P", "-m", *asker, str(scratch)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if finished.returncode == 0:
        return Answers.read(scratch)
    said = (finished.stderr.strip().splitlines() or ["it says nothing"])[-1]
    if os.strerror(errno.ENOSPC) in said:
        raise NoRoomForExport
    if finished.returncode < 0:
        said = (
            f"its process ended by signal {-finished.returncode}; 9 often means too little memory"
        )
    raise ParityFailed(f"it cannot be loaded: {said}")
