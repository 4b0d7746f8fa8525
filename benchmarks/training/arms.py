"""The arms: our own job as a user runs it, and each peer in its own environment."""

import json
import shutil
import sys
from pathlib import Path
from typing import Final

from benchmarks.training.figures import Figures, told_by_job, told_by_peer
from benchmarks.training.flops import RANK
from benchmarks.training.packing import packs
from benchmarks.training.processes import Ended, peers_wait, run
from benchmarks.training.workloads import BATCH_SIZE, MAX_TOKENS, Workload
from training.config import Checkpointing, DataType, JobSpec, Scheduler, TrainingType, resolve

OURS: Final = "ours"
PACKED: Final = "trl-packing"
"""Fills its batches by length: other rows a step than everyone else, and perhaps other steps."""
PEERS: Final = ("trainer", "trainer-checkpointing", "trl", "trl-no-checkpointing", PACKED)
PACKED_FUSED: Final = f"{PACKED}-fused"
FUSED: Final = ("trainer-fused", "trl-padding-free-fused", PACKED_FUSED)
"""Those with FlashAttention and Liger's kernels, for a GPU."""
ARMS: Final = (OURS, *PEERS, *FUSED)

_PEER_PROGRAM: Final = Path(__file__).with_name("peer.py").resolve()


def run_arm(arm: str, workload: Workload, folder: Path, *, peers: Path, threads: int) -> Figures:
    """Run one arm in a fresh folder. Exits with the end of its log where it failed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if arm == OURS:
        ended = _run_job(workload, folder, threads)
        _run_job(workload, folder / "one-step", threads, max_steps=1)
        training = told_by_job(folder, folder / "one-step")
    else:
        _write_spec(arm, workload, folder)
        command = [str(peers / "bin" / "python"), "-P", str(_PEER_PROGRAM), str(folder)]
        ended = run(command, folder / "log", threads=threads, wait_policy=peers_wait())
        training = told_by_peer(folder)
    changed, checked = _proof(workload, folder, threads)
    return Figures(
        training=training,
        whole_seconds=ended.seconds,
        cpu_seconds=ended.cpu_seconds,
        first_step_seconds=training.first_step_at - ended.started,
        peak_bytes=training.held_bytes if workload.on_gpu else ended.peak_bytes,
        changed_weights=changed,
        checked_weights=checked,
    )


def _run_job(
    workload: Workload, folder: Path, threads: int, *, max_steps: int | None = None
) -> Ended:
    folder.mkdir(exist_ok=True)
    _write_job(workload, folder, max_steps)
    command = [sys.executable, "-P", "-m", "training.run", str(folder)]
    return run(command, folder / "log", threads=threads)


def _write_job(workload: Workload, folder: Path, max_steps: int | None) -> None:
    config = resolve(
        TrainingType(workload.method),
        {
            "learning_rate": workload.learning_rate,
            "batch_size": BATCH_SIZE,
            "epochs": 1,
            "max_steps": max_steps,
            "weight_decay": 0.0,
            "max_gradient_norm": 1.0,
            "scheduler": Scheduler.CONSTANT,
            "lora_rank": RANK,
            "lora_alpha": 2 * RANK,
            "lora_dropout": 0.0,
            "max_sequence_length": MAX_TOKENS,
            "validation_split": 0.0,
            "shuffle": False,
            "checkpointing": Checkpointing(enabled=False),
        },
    )
    spec = JobSpec(
        config=config,
        model_path=str(workload.model_path),
        dataset_path=str(workload.records_path),
        data_type=DataType.CHAT,
    )
    (folder / "job.json").write_text(spec.model_dump_json())


def _write_spec(arm: str, workload: Workload, folder: Path) -> None:
    spec = {
        "arm": arm,
        "model": str(workload.model_path),
        "rows": str(workload.rows_path),
        "output": str(folder),
        "method": workload.method,
        "learning_rate": workload.learning_rate,
        "batch_size": BATCH_SIZE,
        "rank": RANK,
    }
    if arm in (PACKED, PACKED_FUSED):
        chosen = packs(workload.lengths(), rows_per_step=BATCH_SIZE)
        spec |= {"batch_size": chosen.per_step, "pack_length": chosen.length}
    (folder / "spec.json").write_text(json.dumps(spec))


def _proof(workload: Workload, folder: Path, threads: int) -> tuple[int, int]:
    """How many of how many weights changed, once what was saved is looked into."""
    log = folder / "proof"
    program = [sys.executable, "-m", "benchmarks.training.proof"]
    run([*program, str(folder / "model"), str(workload.model_path)], log, threads=threads)
    changed, checked = json.loads(log.read_text().splitlines()[-1])
    return changed, checked
