"""A model split among processes: what it saves, and what else must not differ from one that is whole."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from tests.tiny_model import make_architecture, make_tiny_model
from tests.training.jobs import losses, of_kind, qa_rows, read_events, run_here
from tests.training.ranks import BOUND, FEW_TOKENS, run_ranks
from tests.training.weights import difference, weights_of
from training.config import DataType, Sharding, TrainingType
from training.devices import hardware
from training.engine import making
from training.engine.head import TokenSums
from training.engine.packs import Pack
from training.engine.sharded import ShardedDecoder
from training.estimates import EstimateMethod
from training.events import Finished, MemoryEstimated, ResourcesUsed

MakeJob = Callable[..., Path]

pytestmark = pytest.mark.slow


def compute_in_bfloat16(_rank: int) -> None:
    hardware._cpu_has_bfloat16 = lambda: True


ENDS_TURNS_OTHERWISE = (
    "{% for message in messages %}{{ message.role + ': ' + message.content + '<|endoftext|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
"""Than the model does, which stops at <|im_end|> alone."""


def test_what_freeze_leaves_alone_is_saved_as_the_base_has_it(
    make_job: MakeJob, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = {
        "training_type": TrainingType.FREEZE,
        "trainable_layers": 1,
        "rows": qa_rows(12),
        "max_steps": 2,
        "chat_template": ENDS_TURNS_OTHERWISE,
    }
    one = make_job("one", **choices)
    two = make_job("two", sharding=Sharding.FULL, **choices)
    monkeypatch.setattr(hardware, "_cpu_has_bfloat16", lambda: True)
    run_here(one)
    assert run_ranks(two, 2, compute_in_bfloat16) == [0, 0]
    base = load_file(tiny_model / "model.safetensors")
    whole, split = weights_of(one), weights_of(two)
    assert split.keys() == whole.keys() == base.keys()
    assert {each.dtype for each in split.values()} == {torch.float32}
    moved = {name for name, each in split.items() if not torch.equal(each, base[name])}
    assert moved
    assert moved == {name for name in base if ".layers.1." in name}
    configs = [json.loads((job / "model" / "config.json").read_text()) for job in (one, two)]
    assert configs[0] == configs[1]
    for job in (one, two):
        assert GenerationConfig.from_pretrained(job / "model").eos_token_id == [2, 0]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_the_head_and_the_embeddings_may_be_all_that_is_trained(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tied: bool
) -> None:
    choices = {
        "model": make_architecture(tmp_path / "model", "llama", tied=tied),
        "training_type": TrainingType.FREEZE,
        "trainable_layers": 0,
        "train_embeddings": True,
        "rows": qa_rows(12),
        "batch_size": 1,  # so that one process never has an example
        "max_steps": 8,
    }
    one = make_job("one", **choices)
    two = make_job("two", sharding=Sharding.FULL, **choices)
    monkeypatch.setattr(hardware, "_cpu_has_bfloat16", lambda: False)
    monkeypatch.setattr(making, "CPU_TOKENS", FEW_TOKENS)
    run_here(one)
    assert run_ranks(two, 2, see_that_no_hooks_gather) == [0, 0]
    assert losses(two) == pytest.approx(losses(one), rel=BOUND)
    assert difference(one, two) < 1e-4


def see_that_no_hooks_gather(_rank: int) -> None:
    """Let a run fail whose passes leave hooks on the parameters that its layers compute with."""
    backward, passes = ShardedDecoder.backward, itertools.count(1)

    def backward_and_look(decoder: ShardedDecoder, pack: Pack, **options: Any) -> TokenSums:
        sums = backward(decoder, pack, **options)
        hooks = [len(each._backward_hooks or ()) for each in gathered_parameters(decoder)]
        assert len(hooks) == len(list(decoder.decoder.model.parameters()))
        if next(passes) > 1:
            assert max(hooks) == 0
        return sums

    ShardedDecoder.backward = backward_and_look


def gathered_parameters(decoder: ShardedDecoder) -> Iterator[Tensor]:
    """What the layers compute with, while they do."""
    for module in decoder.passage._whole.modules():
        if isinstance(module, FSDPModule) and (group := module._get_fsdp_state()._fsdp_param_group):
            yield from (each._unsharded_param for each in group.fsdp_params)


def test_what_a_process_will_hold_is_told_and_comes_true(
    make_job: MakeJob, larger_model: Path
) -> None:
    text = "the capital of France is Paris and a spider has eight legs " * 10
    job = make_job(
        model=larger_model,
        training_type=TrainingType.FULL,
        sharding=Sharding.FULL,
        data_type=DataType.TEXT,
        rows=[{"text": f"{n} {text}"} for n in range(8)],
        max_sequence_length=96,
        max_steps=2,
        epochs=1,
        validation_split=0.0,
    )
    assert run_ranks(job, 2, hold_many_tokens, estimated=True) == [0, 0]
    found = read_events(job)
    (told,), (used,) = of_kind(found, MemoryEstimated), of_kind(found, ResourcesUsed)
    (end,) = of_kind(found, Finished)
    assert end.result is not None
    assert told.memory.method is EstimateMethod.DRY_RUN
    assert told.memory.optimizer == 8 * end.result.trainable_parameters // 2
    assert told.memory.peak - told.memory.base > told.memory.base / 2  # enough to be seen
    assert told.memory.peak == pytest.approx(used.peak_memory_bytes, rel=0.15)
    memory = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert told.memory.available < memory / 2 + used.peak_memory_bytes


def hold_many_tokens(_rank: int) -> None:
    making.CPU_TOKENS = 2048  # type: ignore[misc]


@pytest.fixture(scope="module")
def larger_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose weights are more than what a process holds anyway."""
    folder = make_tiny_model(tmp_path_factory.mktemp("larger") / "model")
    config = LlamaConfig(
        vocab_size=8000,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=4,
        num_attention_heads=8,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder
