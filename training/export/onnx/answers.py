"""What an ONNX folder answers: `python -P -m training.export.onnx.answers FOLDER OUT_DIR`.

onnxruntime computes, by the folder's files alone: whole questions at once, the first ones also step by
step with the cache, and some of them in a batch with padding on the left.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from training.export.answers import WHOLE, Answers, ask
from training.export.onnx.session import Integers, Session
from training.export.questions import Question
from training.export.reading import read
from training.models.tokenizers import declared_stop_ids, load_tokenizer

__all__ = ["onnx_answers"]

_STEPPED: Final = 4
"""Questions answered with the cache; a step costs about as much as a whole one."""
_BATCHED: Final = 3


def onnx_answers(folder: Path, questions: Sequence[Question]) -> Answers:
    """What a folder says, by every way in which a graph is used."""
    tokenizer = load_tokenizer(str(folder))
    stops = declared_stop_ids(str(folder), tokenizer)
    reading = read(tokenizer, questions, stops=stops)
    session = Session(folder, threads=torch.get_num_threads())
    texts = [np.array([ids], dtype=np.int64) for ids in reading.input_ids]
    passes = {
        WHOLE: [_fed(session, ids, [ids.shape[1]]) for ids in texts],
        "with its cache": [_fed(session, ids, _one_by_one(ids)) for ids in texts[:_STEPPED]],
        "in a padded batch": list(_batched(session, texts[:_BATCHED])),
    }
    return Answers(reading, passes)


def _one_by_one(ids: Integers) -> list[int]:
    """The first half of a text at once, then each token by itself."""
    half = (ids.shape[1] + 1) // 2
    return [half, *[1] * (ids.shape[1] - half)]


def _fed(session: Session, ids: Integers, lengths: Sequence[int]) -> Tensor:
    """The logits of one text, fed in parts of these lengths."""
    return _parts(session, ids, np.ones_like(ids), lengths)[0]


def _batched(session: Session, texts: Sequence[Integers]) -> Iterator[Tensor]:
    """The logits of texts of several lengths, fed together in two parts."""
    longest = max(ids.shape[1] for ids in texts)
    pads = [longest - ids.shape[1] for ids in texts]
    ids = np.concatenate(
        [np.pad(ids, ((0, 0), (pad, 0))) for ids, pad in zip(texts, pads, strict=True)]
    )
    mask = (np.arange(longest) >= np.array(pads)[:, None]).astype(np.int64)
    half = longest // 2
    logits = _parts(session, ids, mask, [half, longest - half])
    for row, pad in zip(logits, pads, strict=True):
        yield row[pad:].contiguous()


def _parts(session: Session, ids: Integers, mask: Integers, lengths: Sequence[int]) -> Tensor:
    cache, end, found = session.empty_cache(len(ids)), 0, []
    for length in lengths:
        start, end = end, end + length
        logits, cache = session(ids[:, start:end], mask[:, :end], cache)
        found.append(torch.from_numpy(logits))
    return torch.cat(found, dim=1)


def main(arguments: list[str] | None = None) -> int:
    """Ask one folder; the exit code."""
    parser = argparse.ArgumentParser(
        prog="training.export.onnx.answers", description="Ask a graph."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("out_dir", type=Path)
    options = parser.parse_args(arguments)
    ask(options.out_dir, partial(onnx_answers, options.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
