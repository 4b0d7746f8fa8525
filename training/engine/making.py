"""The engine of a run: made for the model and the machine, on one device or on several."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from transformers import PreTrainedModel

from training.config import Sharding, TrainingConfig
from training.data.rows import TokenRow
from training.devices.hardware import Hardware
from training.devices.layout import layout
from training.devices.memory import available_bytes, page_out
from training.devices.world import World
from training.engine.bounds import CPU_TOKENS, GPU_TOKENS, SPARE
from training.engine.choice import Computes, choose
from training.engine.decoder import Decoder
from training.engine.engine import Engine
from training.engine.generic import GenericDecoder
from training.engine.lanes import Lanes, make_lanes
from training.engine.sharded import ShardedDecoder
from training.engine.trainable import TrainableWeights
from training.events import ComputePath, EngineChosen
from training.methods.adapters import TrainableModel, causal_model
from training.models.likeness import likeness


def place(
    model: TrainableModel,
    hardware: Hardware,
    *,
    rows: Sequence[TokenRow],
    config: TrainingConfig,
    world: World,
) -> tuple[Engine, World]:
    """An engine for the model, whole on this process's device or split among all of the world's."""
    if config.sharding is Sharding.FULL and world.size > 1:
        return _sharded(model, hardware, rows=rows, world=world)
    return _engine(model, hardware, rows=rows, config=config, world=world), world


def _sharded(
    model: TrainableModel, hardware: Hardware, *, rows: Sequence[TokenRow], world: World
) -> tuple[Engine, World]:
    """An engine for a model that is split among the processes from here on, and their world."""
    from training.devices.sharding import shard  # takes half a second, for those that need it

    device = torch.device(hardware.device)
    inner = causal_model(model)
    choice = choose(inner, rows, torch.device("cpu"), sharded=True)
    packs = choice.path is ComputePath.PACKED
    alike = GenericDecoder(likeness(inner, dtype=hardware.dtype, device=device), None, packs=packs)
    gathered = layout(model, inner)
    passage = shard(model, inner, size=world.size, hardware=hardware)
    weights = TrainableWeights(model, None)
    budget = CPU_TOKENS if hardware.device == "cpu" else GPU_TOKENS
    computes = ShardedDecoder(
        GenericDecoder(inner, None, packs=packs),
        weights.parameters,
        passage,
        choice.whole_logits,
        likeness=alike,
        layout=gathered,
    )
    engine = Engine(
        choice._replace(computes=computes),
        weights,
        Lanes(1),
        budget=budget,
        device=device,
    )
    return engine, replace(world, through=passage)


def _engine(
    model: TrainableModel,
    hardware: Hardware,
    *,
    rows: Sequence[TokenRow],
    config: TrainingConfig,
    world: World,
) -> Engine:
    device = torch.device(hardware.device)
    weights = TrainableWeights(model, hardware.dtype)
    model.to(device)  # type: ignore[arg-type]  # annotated wrongly
    weights.move_to(device)
    tokens_per_step = (
        sum(row.tokens for row in rows)
        / len(rows)
        * (config.batch_size * config.gradient_accumulation_steps)
        / world.size
    )
    lanes = (
        make_lanes(tokens_per_step, threads=torch.get_num_threads())
        if hardware.device == "cpu"
        else Lanes(1)
    )
    choice = choose(causal_model(model), rows, device)
    if isinstance(choice.computes, Decoder):
        spare = int(SPARE * available_bytes(hardware))
        faster = choice.computes.with_reordered_weights(spare, lanes)
        page_out(faster.replaced_weights())
        choice = choice._replace(computes=faster)
    return Engine(
        choice,
        weights,
        lanes,
        budget=CPU_TOKENS if hardware.device == "cpu" else GPU_TOKENS,
        device=device,
        label_cost=_label_cost(causal_model(model), choice.computes),
    )


def _label_cost(model: PreTrainedModel, computes: Computes) -> float:
    """The head's weights beside those of the layers, all of which a token is multiplied with."""
    if not isinstance(computes, Decoder):
        return 0.0
    tables = {
        each.data_ptr(): each.numel() for each in (computes.head.weight(), computes.embedding)
    }
    return computes.head.weight().numel() / (model.num_parameters() - sum(tables.values()))


def chosen(engine: Engine, hardware: Hardware) -> EngineChosen:
    """What the run says of its engine."""
    choice = engine.choice
    return EngineChosen(
        path=choice.path,
        reason="; ".join(choice.reasons) or None,
        precision=str(hardware.dtype).removeprefix("torch."),
        device=hardware.name,
        lanes=engine.lanes,
        token_budget=engine.budget,
    )
