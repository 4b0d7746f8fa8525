"""A graph as onnxruntime runs it, call after call with the cache that the last one gave."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from training.export.onnx.names import GRAPH, PAST, PRESENT

__all__ = ["Cache", "Integers", "Logits", "Session"]

Integers: TypeAlias = NDArray[np.int64]
Logits: TypeAlias = NDArray[np.float32]
Cache: TypeAlias = Mapping[str, NDArray[np.float32]]


class Session:
    """The graph of a folder, loaded."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            folder / GRAPH, options, providers=["CPUExecutionProvider"]
        )

    def empty_cache(self, batch: int) -> Cache:
        """What a first call has to go on from."""
        return {
            each.name: np.zeros((batch, each.shape[1], 0, each.shape[3]), np.float32)
            for each in self._session.get_inputs()
            if each.name.startswith(f"{PAST}.")
        }

    def __call__(self, ids: Integers, mask: Integers, cache: Cache) -> tuple[Logits, Cache]:
        """The logits at tokens that follow those of the cache, and the longer cache. `mask` is 1
        where there is a token, cached ones first, and 0 at padding on the left."""
        positions = np.maximum(mask.cumsum(-1) - 1, 0)[:, -ids.shape[1] :]
        given = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, **cache}
        names = [each.name for each in self._session.get_outputs()]
        logits, *present = self._session.run(names, given)
        kept = (name.replace(PRESENT, PAST, 1) for name in names[1:])
        return logits, dict(zip(kept, present, strict=True))
