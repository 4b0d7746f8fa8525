"""Ours against whoever is best at a figure, and the limits that we hold ourselves to."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from benchmarks.training.arms import OURS
from benchmarks.training.figures import Figures
from benchmarks.training.flops import training_flops
from benchmarks.training.workloads import Workload

Measured: TypeAlias = Mapping[str, Sequence[Figures]]

LEAST_WHOLE: Final = 2.0
MOST_MEMORY: Final = 0.7
LEAST_PEAK_SHARE: Final = 0.55
"""Asked of LoRA alone."""


@dataclass(frozen=True)
class Ratio:
    """A figure that shall be at least its limit, if it has one, or at most where `lower_is_better`."""

    name: str
    value: float
    limit: float | None
    lower_is_better: bool = False

    @property
    def is_met(self) -> bool:
        """Whether it keeps to its limit."""
        if self.limit is None:
            return True
        return self.value <= self.limit if self.lower_is_better else self.value >= self.limit


def comparable_peers(measured: Measured, workload: Workload) -> dict[str, Sequence[Figures]]:
    """The peers that took as many steps as the rest."""
    return {
        arm: runs
        for arm, runs in measured.items()
        if arm != OURS and all(run.training.steps == workload.steps for run in runs)
    }


def ratios(measured: Measured, workload: Workload, *, peak: float) -> list[Ratio]:
    """What ours is worth; `peak` is the machine's bf16 operations a second."""
    ours = measured.get(OURS)
    if not ours:
        return []
    peers = comparable_peers(measured, workload)
    found = [
        *_peak_share(ours, workload, peak),
        *(_against(ours, peers, workload) if peers else ()),
    ]
    return [replace(each, limit=None) for each in found] if workload.on_gpu else found


def _peak_share(ours: Sequence[Figures], workload: Workload, peak: float) -> Iterator[Ratio]:
    flops = training_flops(
        workload.model_path,
        method=workload.method,
        lengths=workload.lengths(),
        label_tokens=sum(workload.label_counts()),
    )
    share = flops * _fastest(ours) / sum(workload.lengths()) / peak
    limit = LEAST_PEAK_SHARE if workload.method == "LORA" else None
    yield Ratio("useful operations / bf16 peak measured here", share, limit)


def _against(
    ours: Sequence[Figures], peers: Mapping[str, Sequence[Figures]], workload: Workload
) -> Iterator[Ratio]:
    arm = max(peers, key=lambda arm: _fastest(peers[arm]))
    yield Ratio(
        f"tokens/s, ours / the fastest peer ({arm})",
        _fastest(ours) / _fastest(peers[arm]),
        workload.least_speed,
    )
    trl = [arm for arm in peers if arm.startswith("trl")]
    if trl:
        arm = max(trl, key=lambda arm: _fastest(peers[arm]))
        yield Ratio(
            f"tokens/s, ours / TRL's fastest ({arm})",
            _fastest(ours) / _fastest(peers[arm]),
            workload.least_speed_over_trl,
        )
    arm = min(peers, key=lambda arm: _quickest(peers[arm]))
    yield Ratio(
        f"whole process, the quickest peer ({arm}) / ours",
        _quickest(peers[arm]) / _quickest(ours),
        LEAST_WHOLE,
    )
    arm = min(peers, key=lambda arm: _memory(peers[arm]))
    yield Ratio(
        f"peak memory, ours / the lowest peer ({arm})",
        _memory(ours) / _memory(peers[arm]),
        MOST_MEMORY,
        lower_is_better=True,
    )


def _fastest(runs: Sequence[Figures]) -> float:
    return max(run.tokens_per_second for run in runs)


def _quickest(runs: Sequence[Figures]) -> float:
    return min(run.whole_seconds for run in runs)


def _memory(runs: Sequence[Figures]) -> float:
    return statistics.median(run.peak_bytes for run in runs)
