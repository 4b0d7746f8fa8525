"""The four methods on six architectures: what is trained moves, and nothing else does."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.tiny_model import ARCHITECTURES, make_architecture
from tests.training.jobs import of_kind, read_events, run_here, spec_of
from tests.training.watched import Watched
from training.config import LoraInitialisation, TrainingType, resolve
from training.errors import (
    DecoderLayersNotFound,
    NothingTrainable,
    TargetModulesNotFound,
    TooFewLayers,
)
from training.events import (
    ComputePath,
    EngineChosen,
    EpochCompleted,
    Outcome,
    Progress,
    WarningRaised,
)
from training.methods.adapters import causal_model, make_trainable, with_adapter
from training.methods.quantisation import quantised_layers
from training.models.base_models import load_base
from training.models.modules import decoder_layers, head_and_embeddings

MakeJob = Callable[..., Path]
FEW_EPOCHS = {
    "learning_rate": 1e-2,
    "epochs": 3,
    "batch_size": 2,
    "checkpointing": {"enabled": False},
}


@pytest.fixture(scope="session")
def architectures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("architectures")
    return {name: make_architecture(folder / name, name) for name in ARCHITECTURES}


def assert_it_learned(job: Path) -> None:
    found = read_events(job)
    losses = [each.training_loss for each in of_kind(found, EpochCompleted)]
    assert losses[-1] < losses[0] - 0.1
    norms = [each.gradient_norm for each in of_kind(found, Progress) if each.gradient_norm]
    assert norms
    assert min(norms) > 0


def is_meant(name: str, method: TrainingType) -> bool:
    """Whether a method trains the parameter of this name in a decoder of three layers."""
    last_two = any(f".{part}." in name for part in ("layers.1", "layers.2", "h.1", "h.2"))
    return {
        TrainingType.LORA: ".lora_" in name,
        TrainingType.QLORA: ".lora_" in name,
        TrainingType.FREEZE: last_two,
        TrainingType.FULL: True,
    }[method]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("method", TrainingType)
def test_a_method_moves_what_it_trains_and_nothing_else(
    make_job: MakeJob,
    architectures: dict[str, Path],
    watched: Watched,
    method: TrainingType,
    architecture: str,
) -> None:
    job = make_job(model=architectures[architecture], training_type=method, **FEW_EPOCHS)
    assert run_here(job, estimated=True).outcome is Outcome.COMPLETED
    assert_it_learned(job)
    trained = watched.masters
    assert {each.dtype for each in trained.values()} == {torch.float32}
    assert all(torch.isfinite(each).all() for each in trained.values())
    assert trained.keys() == {name for name in watched.before if is_meant(name, method)}
    assert watched.moved() == trained.keys()
    (engine,) = of_kind(read_events(job), EngineChosen)
    fused = architecture not in ("gemma2", "gpt2")
    assert engine.path is (ComputePath.FUSED if fused else ComputePath.PACKED)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_adapters_go_to_every_linear_layer_of_every_block_and_not_to_the_head(
    architectures: dict[str, Path], architecture: str
) -> None:
    model = make_trainable(
        load_base(str(architectures[architecture]), torch.float32), resolve(TrainingType.LORA, {})
    )
    adapted = {name for name, _ in model.named_modules() if name.endswith(".lora_A")}
    per_block = 4 if architecture == "gpt2" else 7
    assert len(adapted) == 3 * per_block
    assert not any("head" in name for name in adapted)


@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.QLORA])
def test_the_experts_of_a_mixture_stay_as_they_are(
    make_job: MakeJob, tmp_path: Path, watched: Watched, method: TrainingType
) -> None:
    base = make_architecture(tmp_path / "base", "mixtral")
    job = make_job(model=base, training_type=method, **FEW_EPOCHS)
    run_here(job, estimated=True)
    warned = [event.code for event in of_kind(read_events(job), WarningRaised)]
    assert warned == ["EXPERTS_NOT_ADAPTED"]
    moved = watched.moved()
    assert len(moved) == 3 * 4 * 2
    assert all(".self_attn." in name and ".lora_" in name for name in moved)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
def test_freeze_trains_embeddings_and_head_by_choice_and_leaves_them_tied(
    make_job: MakeJob, tmp_path: Path, watched: Watched, architecture: str, tied: bool
) -> None:
    base = make_architecture(tmp_path / "base", architecture, tied=tied)
    job = make_job(
        model=base,
        training_type=TrainingType.FREEZE,
        trainable_layers=1,
        train_embeddings=True,
        **FEW_EPOCHS,
    )
    run_here(job)
    assert_it_learned(job)
    outside = {name for name in watched.moved() if ".2." not in name}
    embeddings = "transformer.wte" if architecture == "gpt2" else "model.embed_tokens"
    assert outside == {f"{embeddings}.weight"} | (set() if tied else {"lm_head.weight"})
    stored = load_file(job / "model" / "model.safetensors")
    assert ("lm_head.weight" in stored) is not tied
    first, second = head_and_embeddings(load_base(str(job / "model"), torch.float32))
    assert (first.weight is second.weight) is tied
    assert torch.equal(second.weight, stored[f"{embeddings}.weight" if tied else "lm_head.weight"])


def test_freeze_without_a_layer_trains_embeddings_or_nothing(tmp_path: Path) -> None:
    base = str(make_architecture(tmp_path / "base", "llama"))
    choices = {"trainable_layers": 0, "train_embeddings": True}
    model = make_trainable(load_base(base, torch.float32), resolve(TrainingType.FREEZE, choices))
    trained = [name for name, each in model.named_parameters() if each.requires_grad]
    assert trained == ["model.embed_tokens.weight"]
    with pytest.raises(NothingTrainable, match="FREEZE as it is set leaves no parameter"):
        make_trainable(
            load_base(base, torch.float32), resolve(TrainingType.FREEZE, {"trainable_layers": 0})
        )


def test_freeze_names_what_the_model_lacks(tmp_path: Path) -> None:
    model = load_base(str(make_architecture(tmp_path / "base", "llama")), torch.float32)
    config = resolve(TrainingType.FREEZE, {"trainable_layers": 4})
    with pytest.raises(TooFewLayers, match="is 4, but the model has 3 decoder layers"):
        make_trainable(model, config)
    assert all(each.requires_grad for each in model.parameters())
    del model.model.layers
    with pytest.raises(DecoderLayersNotFound, match="LlamaForCausalLM"):
        make_trainable(model, config)


def test_the_stack_of_layers_is_not_mistaken_for_a_longer_list_of_experts(tmp_path: Path) -> None:
    model = load_base(str(make_architecture(tmp_path / "base", "llama", layers=2)), torch.float32)
    stack = decoder_layers(model)
    assert [type(layer).__name__ for layer in stack] == ["LlamaDecoderLayer"] * 2
    experts = torch.nn.ModuleList(torch.nn.Linear(64, 64) for _ in range(8))
    stack[0].mlp.experts = experts
    assert decoder_layers(model) is stack


@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.QLORA])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("option", ["rs_lora", "dora"])
def test_the_variants_of_lora_train_what_they_name(
    make_job: MakeJob,
    architectures: dict[str, Path],
    watched: Watched,
    method: TrainingType,
    architecture: str,
    option: str,
) -> None:
    job = make_job(
        model=architectures[architecture], training_type=method, **FEW_EPOCHS, **{option: True}
    )
    run_here(job)
    assert_it_learned(job)
    moved = watched.moved()
    assert moved == {name for name in watched.before if ".lora_" in name}
    assert any("lora_magnitude_vector" in name for name in moved) is (option == "dora")
    (engine,) = of_kind(read_events(job), EngineChosen)
    fused = (architecture, option) == ("llama", "rs_lora")
    assert engine.path is (ComputePath.FUSED if fused else ComputePath.PACKED)


def test_rs_lora_weighs_adapters_by_the_root_of_their_rank(tmp_path: Path) -> None:
    base = str(make_architecture(tmp_path / "base", "llama"))
    scales = []
    for rank in (16, 64):
        config = resolve(TrainingType.LORA, {"rs_lora": True, "lora_rank": rank})
        model = make_trainable(load_base(base, torch.float32), config)
        layer = causal_model(model).model.layers[0].self_attn.q_proj
        scales.append(layer.scaling["default"])
    assert scales == [2.0, 1.0]


def test_an_initialisation_draws_other_numbers_and_starts_as_the_base(tmp_path: Path) -> None:
    base = str(make_architecture(tmp_path / "base", "llama"))
    ids = torch.arange(3, 30)[None]
    with torch.no_grad():
        expected = load_base(base, torch.float32)(input_ids=ids).logits
    drawn = {}
    for initialisation in LoraInitialisation:
        torch.manual_seed(1)
        config = resolve(TrainingType.LORA, {"lora_initialisation": initialisation})
        model = make_trainable(load_base(base, torch.float32), config).eval()
        with torch.no_grad():
            assert torch.equal(model(input_ids=ids).logits, expected)
        layer = causal_model(model).model.layers[0].self_attn.q_proj
        drawn[initialisation] = layer.lora_A["default"].weight.detach()
    # Kaiming with a = sqrt(5) is uniform within 1 / sqrt(inputs); Gaussian deviates by 1 / rank.
    assert float(drawn[LoraInitialisation.KAIMING].abs().max()) <= 64**-0.5
    assert float(drawn[LoraInitialisation.GAUSSIAN].std()) == pytest.approx(1 / 16, rel=0.1)


@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.QLORA])
def test_named_target_modules_are_adapted_alone(
    make_job: MakeJob, architectures: dict[str, Path], watched: Watched, method: TrainingType
) -> None:
    job = make_job(
        model=architectures["gpt2"], training_type=method, target_modules=("c_attn",), **FEW_EPOCHS
    )
    run_here(job)
    assert len(watched.moved()) == 3 * 2
    assert all(".attn.c_attn.lora_" in name for name in watched.moved())
    bad = make_job("bad", model=architectures["gpt2"], training_type=method, target_modules=("x",))
    with pytest.raises(TargetModulesNotFound, match="the modules x"):
        run_here(bad)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_qlora_holds_the_linear_layers_of_its_blocks_in_four_bits_and_nothing_else(
    make_job: MakeJob, architectures: dict[str, Path], watched: Watched, architecture: str
) -> None:
    job = make_job(model=architectures[architecture], training_type=TrainingType.QLORA, epochs=1)
    run_here(job)
    model = causal_model(watched.model)
    quantised = {name: each for name, each in model.named_parameters() if each.dtype is torch.uint8}
    assert len(quantised) == 3 * (4 if architecture == "gpt2" else 7)
    assert len(quantised_layers(model)) == len(quantised)
    assert all(".layers." in name or ".h." in name for name in quantised)
    for module in head_and_embeddings(model):
        assert module.weight.is_floating_point()


def test_a_saved_adapter_is_loaded_beside_its_base_without_a_warning(
    make_job: MakeJob, architectures: dict[str, Path]
) -> None:
    job = make_job(model=architectures["gpt2"], training_type=TrainingType.QLORA, epochs=1)
    run_here(job)
    assert {path.name for path in (job / "model").glob("*.safetensors")} == {
        "adapter_model.safetensors"
    }
    base = load_base(spec_of(job).model_path, torch.float32)
    ids = torch.arange(3, 30)[None]
    with torch.no_grad():
        untrained = base(input_ids=ids).logits
        trained = with_adapter(base, job / "model").eval()(input_ids=ids).logits
    assert not torch.equal(trained, untrained)
