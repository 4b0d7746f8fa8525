"""What a model answers to the questions, as logits: the two sides of a parity check.

`python -P -m training.export.answers FOLDER OUT_DIR [--base SOURCE [--quantised] | --state-dict]` asks an
exported folder as a stranger would, from its files alone: the questions of `OUT_DIR/questions.json`
go in, `Answers` come out. `--state-dict` is for a folder whose weights are one.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Module
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.export.questions import Question, read_questions
from training.export.reading import Reading, read
from training.libraries import silence
from training.models.base_models import (
    load_base,
    load_tokenizer,
    stop_token_ids,
    take_generation_config,
)
from training.progress.pulse import Pulse

WHOLE: Final = "in one pass"


class Answers(NamedTuple):
    """What was read, and the logits at each token of each question."""

    reading: Reading
    passes: Mapping[str, Sequence[Tensor]]
    """By the way in which they were computed. `WHOLE` has all questions, others may have only the
    first ones."""

    @property
    def logits(self) -> Sequence[Tensor]:
        """Those of whole questions at once."""
        return self.passes[WHOLE]

    def write(self, folder: Path) -> None:
        """Store in a folder, for `read`."""
        tensors = {
            f"{way}/{index}": logits
            for way, found in self.passes.items()
            for index, logits in enumerate(found)
        }
        save_file(tensors, folder / "answers.safetensors")
        (folder / "reading.json").write_text(self.reading.model_dump_json())

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `write` stored."""
        tensors = load_file(folder / "answers.safetensors")
        counts: dict[str, int] = {}
        for name in tensors:
            way = name.partition("/")[0]
            counts[way] = counts.get(way, 0) + 1
        passes = {
            way: [tensors[f"{way}/{index}"] for index in range(counts[way])]
            for way in sorted(counts, key=lambda way: way != WHOLE)
        }
        return cls(Reading.model_validate_json((folder / "reading.json").read_bytes()), passes)


def exported_answers(
    folder: Path, questions: Sequence[Question], *, base: str | None, quantised: bool = False
) -> Answers:
    """What an exported folder says, in fp32.

    `base` is given where it holds an adapter alone, and `quantised` where it belongs to that base
    in 4 bits.
    """
    if base is not None:
        return adapter_answers(folder, base, questions, quantised=quantised)
    return _whole_answers(load_base(str(folder), torch.float32), folder, questions)


def state_dict_answers(folder: Path, questions: Sequence[Question]) -> Answers:
    """What a folder says, in fp32, whose weights are a state_dict."""
    from training.export.pytorch import load  # its writer's imports, of no use to the others

    return _whole_answers(load(folder, torch.float32), folder, questions)


def adapter_answers(
    folder: Path, base: str, questions: Sequence[Question], *, quantised: bool
) -> Answers:
    """What a base says in fp32 with an adapter beside it, unmerged."""
    from training.methods.adapters import with_adapter  # peft takes seconds to import
    from training.methods.quantisation import load_quantised

    load = load_quantised if quantised else load_base
    model = load(base, torch.float32)
    take_generation_config(model, folder)
    tokenizer = load_tokenizer(str(folder))
    stops = stop_token_ids(model, tokenizer)
    return answers(with_adapter(model, folder), tokenizer, questions, stops=stops)


@torch.no_grad()
def answers(
    model: Module,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    *,
    stops: frozenset[int],
) -> Answers:
    """The logits at every position of each question, asked through the stored chat template."""
    model.eval()
    reading = read(tokenizer, questions, stops=stops)
    logits = [
        model(input_ids=torch.tensor([ids])).logits[0].float().contiguous()
        for ids in reading.input_ids
    ]
    return Answers(reading, {WHOLE: logits})


def ask(out_dir: Path, answered: Callable[[Sequence[Question]], Answers]) -> None:
    """Put the questions of a folder, and leave the answers there. Meanwhile the pulse of the export
    beats, in whose folder that one lies: it waits, and would pass for hung."""
    silence()
    with Pulse(out_dir.parent).while_busy():
        answered(read_questions(out_dir / "questions.json")).write(out_dir)


def _whole_answers(model: PreTrainedModel, folder: Path, questions: Sequence[Question]) -> Answers:
    tokenizer = load_tokenizer(str(folder))
    return answers(model, tokenizer, questions, stops=stop_token_ids(model, tokenizer))


def main(arguments: list[str] | None = None) -> int:
    """Ask one folder; the exit code."""
    parser = argparse.ArgumentParser(prog="training.export.answers", description="Ask an export.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--base", help="the model that an adapter belongs to")
    parser.add_argument("--quantised", action="store_true", help="hold that model in 4 bits")
    parser.add_argument("--state-dict", action="store_true", help="its weights are a state_dict")
    options = parser.parse_args(arguments)
    if options.state_dict:
        ask(options.out_dir, partial(state_dict_answers, options.folder))
    else:
        own = {"base": options.base, "quantised": options.quantised}
        ask(options.out_dir, partial(exported_answers, options.folder, **own))
    return 0


if __name__ == "__main__":
    sys.exit(main())
