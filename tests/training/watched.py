"""A look into a whole run: its model before the first step and after the last."""

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from training import pipeline
from training.preparation import Prepared, prepare


class Watched:
    """The model of a run as it was before its first step, and as it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pipeline, "prepare", self._prepare)

    def _prepare(self, *arguments: object, **options: object) -> Prepared | None:
        found = prepare(*arguments, **options)  # type: ignore[arg-type]
        assert found is not None
        self.prepared = found
        self.model = found.model
        self.before = self.weights()
        return found

    @property
    def masters(self) -> dict[str, Parameter]:
        """What is trained, as the optimizer moves it."""
        return self.prepared.run.stepper.engine.weights.masters

    def weights(self) -> dict[str, Tensor]:
        whole = dict(self.model.named_parameters()) | self.masters
        return {name: each.detach().cpu().clone() for name, each in whole.items()}

    def moved(self) -> set[str]:
        after = self.weights()
        assert after.keys() == self.before.keys()
        return {  # what is frozen is given back in fp32 at the end, whatever it was computed with in
            name
            for name, before in self.before.items()
            if not torch.equal(after[name].to(before.dtype), before)
        }
