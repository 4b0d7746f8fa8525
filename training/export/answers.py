"""What a model answers to texts, as logits: the two sides of a parity check.

`python -P -m training.export.answers FOLDER OUT_DIR [--base SOURCE [--quantised]]` asks an exported
folder as a stranger would, from its files alone: the texts of `OUT_DIR/texts.json` go in, `Answers`
come out.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Module
from transformers import PreTrainedTokenizerBase

from training.data.chat import pieces
from training.libraries import silence
from training.models.base_models import (
    load_base,
    load_tokenizer,
    stop_token_ids,
    take_generation_config,
)

LONGEST_TEXT: Final = 128
"""In tokens; longer texts are cut, so that a long sample does not outweigh the others."""


class Answers(NamedTuple):
    """A pair of tensors for each text, and whether generation would end where a turn does."""

    input_ids: list[Tensor]
    logits: list[Tensor]
    stops_at_end_of_turn: bool

    def write(self, folder: Path) -> None:
        """Store in a folder, for `read`."""
        tensors = {f"input_ids.{index}": ids for index, ids in enumerate(self.input_ids)}
        tensors |= {f"logits.{index}": logits for index, logits in enumerate(self.logits)}
        save_file(tensors, folder / "answers.safetensors")
        (folder / "stops.json").write_text(json.dumps(self.stops_at_end_of_turn))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `write` stored."""
        tensors = load_file(folder / "answers.safetensors")
        count = range(len(tensors) // 2)
        return cls(
            input_ids=[tensors[f"input_ids.{index}"] for index in count],
            logits=[tensors[f"logits.{index}"] for index in count],
            stops_at_end_of_turn=json.loads((folder / "stops.json").read_bytes()),
        )


def exported_answers(
    folder: Path, texts: Sequence[str], *, base: str | None, quantised: bool = False
) -> Answers:
    """What an exported folder says, in fp32.

    `base` is given where it holds an adapter alone, and `quantised` where it belongs to that base
    in 4 bits.
    """
    if base is not None:
        return adapter_answers(folder, base, texts, quantised=quantised)
    tokenizer = load_tokenizer(str(folder))
    model = load_base(str(folder), torch.float32)
    return answers(model, tokenizer, texts, stops=stop_token_ids(model, tokenizer))


def adapter_answers(folder: Path, base: str, texts: Sequence[str], *, quantised: bool) -> Answers:
    """What a base says in fp32 with an adapter beside it, unmerged."""
    from training.methods.adapters import with_adapter  # peft takes seconds to import
    from training.methods.quantisation import load_quantised

    load = load_quantised if quantised else load_base
    model = load(base, torch.float32)
    take_generation_config(model, folder)
    tokenizer = load_tokenizer(str(folder))
    stops = stop_token_ids(model, tokenizer)
    return answers(with_adapter(model, folder), tokenizer, texts, stops=stops)


@torch.no_grad()
def answers(
    model: Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    stops: frozenset[int],
) -> Answers:
    """The logits at every position of each text, asked through the stored chat template."""
    model.eval()
    input_ids = [torch.tensor(_ids(tokenizer, text)) for text in texts]
    logits = [model(input_ids=ids[None]).logits[0].float().contiguous() for ids in input_ids]
    return Answers(input_ids, logits, _stops_at_end_of_turn(tokenizer, stops))


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    if tokenizer.chat_template is None:
        return list(tokenizer(text)["input_ids"])[:LONGEST_TEXT]
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
    )
    return list(tokenizer(str(prompt), add_special_tokens=False)["input_ids"])[:LONGEST_TEXT]


def _stops_at_end_of_turn(tokenizer: PreTrainedTokenizerBase, stops: frozenset[int]) -> bool:
    """Whether a rendered assistant turn holds a token at which generation stops."""
    if tokenizer.chat_template is None:
        return tokenizer.eos_token_id in stops
    turn = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello"}]
    trained = [piece.text for piece in pieces(tokenizer, turn, line=0) if piece.trained]
    ids = tokenizer("".join(trained), add_special_tokens=False)["input_ids"]
    return any(each in stops for each in ids)


def main(arguments: list[str] | None = None) -> int:
    """Ask one folder; the exit code."""
    parser = argparse.ArgumentParser(prog="training.export.answers", description="Ask an export.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--base", help="the model that an adapter belongs to")
    parser.add_argument("--quantised", action="store_true", help="hold that model in 4 bits")
    options = parser.parse_args(arguments)
    silence()
    texts = json.loads((options.out_dir / "texts.json").read_bytes())
    found = exported_answers(options.folder, texts, base=options.base, quantised=options.quantised)
    found.write(options.out_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
