"""How long a run still takes, by what its steps and the ends of its epochs have taken so far."""

import math
from dataclasses import dataclass
from typing import Final

from training.steps.state import TrainingState

_FORMER_STEPS: Final = 3
"""So many steps of this process weigh as much as all of the former ones: these may have been made
on another machine, but a first step, which warms everything up, says less still."""
_FORWARD_SHARE: Final = 1 / 3
"""Of a training step, what predicting the same rows takes: a backward pass costs two forward ones."""


@dataclass(frozen=True)
class TimeLeft:
    """Of a run that was taken up at `start`, when the clock showed `started`."""

    start: TrainingState
    started: float
    total_steps: int
    epoch_steps: float
    """Of an epoch, its last counted by its rows where these are fewer."""
    validation_share: float
    """Rows held out, in relation to the training rows."""

    def seconds(self, steps: float, state: TrainingState, now: float) -> float:
        """The time to the run's end, with `steps` done, the share of the one in progress included.

        Each epoch to come, the one in progress included, ends with a validation and a checkpoint,
        and the run with one validation more.
        """
        step_seconds = self._step_seconds(steps, state, now)
        ends = math.ceil(self.total_steps / math.ceil(self.epoch_steps)) - state.epoch + 1
        end_seconds = self._end_seconds(state, step_seconds)
        left = self._full(self.total_steps) - self._full(steps)
        return left * step_seconds + ends * end_seconds

    def _step_seconds(self, steps: float, state: TrainingState, now: float) -> float:
        """Of a full step."""
        before = self._full(self.start.step)
        here = self._full(state.step) - before
        former = min(before, _FORMER_STEPS)
        if here + former == 0:  # amid the very first step
            return (now - self.started) / max(self._full(steps), 1e-9)
        seconds = _stepping_seconds(state) - _stepping_seconds(self.start)
        if former:
            seconds += former * _stepping_seconds(self.start) / before
        return seconds / (here + former)

    def _full(self, steps: float) -> float:
        """So many steps of the run in full ones."""
        epochs, within = divmod(steps, math.ceil(self.epoch_steps))
        whole = math.floor(self.epoch_steps)
        last = max(0.0, within - whole) * (self.epoch_steps - whole)
        return epochs * self.epoch_steps + min(within, whole) + last

    def _end_seconds(self, state: TrainingState, step_seconds: float) -> float:
        """Of one epoch's end: as those before, or else by the rows that are to be predicted."""
        if state.epoch:
            return state.closing_seconds / state.epoch
        return self.epoch_steps * self.validation_share * _FORWARD_SHARE * step_seconds


def _stepping_seconds(state: TrainingState) -> float:
    return state.seconds + state.epoch_seconds - state.closing_seconds
