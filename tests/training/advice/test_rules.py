"""What each rule says, of which value, and what it suggests."""

from typing import Any

import pytest

from tests.factories import SHAPE
from training.config import DataType, TrainingType, resolve
from training.estimates import EstimateMethod, MemoryEstimate
from training.findings import Severity, apply
from training.memory.advice import Estimator
from training.validation import Finding, RunFacts, check

FACTS = RunFacts(
    records=2000,
    data_type=DataType.QA,
    parameter_count=10**8,
    linear_parameters=9 * 10**7,
    layer_count=4,
    shape=SHAPE,
    context_length=2048,
    row_tokens=tuple(float(100 + 10 * n) for n in range(20)),
    longest_row=500.0,
    trained_share=0.5,
    device="cpu",
)
WARNING, RECOMMENDATION = Severity.WARNING, Severity.RECOMMENDATION
LORA, QLORA, FULL, FREEZE = (
    TrainingType.LORA,
    TrainingType.QLORA,
    TrainingType.FULL,
    TrainingType.FREEZE,
)
HYPER = "hyperparameters"


def hyper(**options: object) -> dict[str, object]:
    return {HYPER: options}


def memory(peak: int) -> MemoryEstimate:
    parts = ("weights", "gradients", "optimizer", "activations", "logits", "base")
    return MemoryEstimate(
        **dict.fromkeys(parts, peak // 6),
        peak=peak,
        available=100,
        method=EstimateMethod.CLOSED_FORM,
    )


def found(
    method: TrainingType,
    choices: dict[str, Any],
    facts: RunFacts = FACTS,
    estimate: Estimator | None = None,
) -> list[Finding]:
    return check(resolve(method, choices), facts, estimate)


def test_the_defaults_have_nothing_to_be_said_of_them() -> None:
    for method in TrainingType:
        assert found(method, {}) == []


RATES = [
    (LORA, 5e-5, RECOMMENDATION, "UNUSUAL_RATE_FOR_METHOD", 2e-4),
    (LORA, 9e-4, RECOMMENDATION, "UNUSUAL_RATE_FOR_METHOD", 2e-4),
    (LORA, 2e-3, WARNING, "UNUSUAL_VALUE", 2e-4),
    (LORA, 9e-6, WARNING, "UNUSUAL_VALUE", 2e-4),
    (QLORA, 2e-3, WARNING, "UNUSUAL_VALUE", 2e-4),
    (FULL, 8e-5, RECOMMENDATION, "UNUSUAL_RATE_FOR_METHOD", 2e-5),
    (FULL, 2e-4, WARNING, "UNUSUAL_VALUE", 2e-5),
    (FREEZE, 3e-4, RECOMMENDATION, "UNUSUAL_RATE_FOR_METHOD", 5e-5),
    (FREEZE, 6e-4, WARNING, "UNUSUAL_VALUE", 5e-5),
]


@pytest.mark.parametrize(("method", "rate", "severity", "code", "better"), RATES)
def test_a_rate_is_judged_by_the_method(
    method: TrainingType, rate: float, severity: Severity, code: str, better: float
) -> None:
    (finding,) = found(method, {"learning_rate": rate})
    assert (finding.severity, finding.code) == (severity, code)
    assert f"learningRate is {rate}" in finding.message
    assert finding.suggested_patch == hyper(learningRate=better)


CASES: list[tuple[TrainingType, dict[str, Any], Severity, str, str, dict[str, object]]] = [
    # how much is trained
    (
        LORA,
        {"gradient_accumulation_steps": 60, "batch_size": 32, "epochs": 50},
        WARNING,
        "STEP_LARGER_THAN_DATA",
        "a step takes 1920 examples, but there are 1800 training records",
        hyper(gradientAccumulationSteps=56),
    ),
    (
        LORA,
        {"max_steps": 100},
        WARNING,
        "FIRST_EPOCH_NOT_FINISHED",
        "maxSteps is 100, but an epoch has 225 steps: 56% of the records are never seen",
        hyper(maxSteps=225),
    ),
    (
        LORA,
        {"max_steps": 700},
        RECOMMENDATION,
        "MAX_STEPS_NOT_REACHED",
        "maxSteps is 700, but 3 epochs have only 675 steps",
        hyper(maxSteps=None),
    ),
    (
        LORA,
        {"batch_size": 32, "gradient_accumulation_steps": 8},
        WARNING,
        "FEW_STEPS",
        "24 optimizer steps, which is too few to learn much: 1800 training records, 256 a step",
        hyper(gradientAccumulationSteps=2),
    ),
    # how fast
    (
        LORA,
        {"warmup_steps": 400},
        WARNING,
        "WARMUP_LONG",
        "warmupSteps is 400, which is 59% of the run's 675 steps",
        hyper(warmupSteps=67),
    ),
    (
        LORA,
        {"learning_rate": 5e-4, "weight_decay": 0.1, "epochs": 20, "scheduler": "CONSTANT"},
        RECOMMENDATION,
        "STRONG_WEIGHT_DECAY",
        "weightDecay is 0.1, which over 4500 steps takes 22% off the adapters",
        hyper(weightDecay=0.01),
    ),
    # what judges
    (
        LORA,
        {"early_stopping": {"enabled": True, "patience": 3}},
        WARNING,
        "EARLY_STOPPING_WITHOUT_EFFECT",
        "patience is 3, but with 3 epochs no run stops before its end unless it is at most 1",
        {"earlyStopping": {"patience": 1}},
    ),
    (
        LORA,
        {"checkpointing": {"interval": 4}},
        WARNING,
        "CHECKPOINTS_TOO_SELDOM",
        "interval is 4, but there are 3 epochs",
        {"checkpointing": {"interval": 1}},
    ),
    (
        LORA,
        {"validation_split": 0.0},
        RECOMMENDATION,
        "NO_VALIDATION",
        "the best checkpoint is the one with the lowest training loss",
        {"data": {"validationSplit": 0.1}},
    ),
    (
        LORA,
        {"validation_split": 0.005},
        RECOMMENDATION,
        "FEW_VALIDATION_RECORDS",
        "validationSplit is 0.005, which holds out 10 of 2000 records",
        {"data": {"validationSplit": 0.1}},
    ),
    (
        LORA,
        {
            "validation_split": 0.005,
            "epochs": 9,
            "early_stopping": {"enabled": True, "patience": 2},
        },
        WARNING,
        "FEW_VALIDATION_RECORDS",
        "what stops the run and chooses the best checkpoint",
        {"data": {"validationSplit": 0.1}},
    ),
    # the model's own sizes
    (
        LORA,
        {"lora_rank": 7},
        WARNING,
        "UNUSUAL_VALUE",
        "loraRank is 7, outside its usual range 8 to 64",
        hyper(loraRank=8, loraAlpha=16),
    ),
    (
        LORA,
        {"rs_lora": True, "lora_alpha": 32},
        RECOMMENDATION,
        "ALPHA_UNUSUAL_WITH_RS_LORA",
        "loraAlpha is 32, which rsLora divides by the root of loraRank alone: adapters then weigh 8.0",
        hyper(loraAlpha=8),
    ),
    (
        LORA,
        {"target_modules": ("q_proj", "gate_proj")},
        WARNING,
        "TARGET_MODULE_UNKNOWN",
        "names gate_proj too, which the model does not have; its linear layers are q_proj, down_proj",
        hyper(targetModules=["q_proj"]),
    ),
    (
        LORA,
        {"target_modules": ("gate_proj",)},
        Severity.ERROR,
        "TARGET_MODULES_NOT_FOUND",
        "targetModules names gate_proj, but the model's linear layers are q_proj, down_proj",
        hyper(targetModules=None),
    ),
    (
        FREEZE,
        {"trainable_layers": 4},
        RECOMMENDATION,
        "FREEZE_TRAINS_EVERY_LAYER",
        "trainableLayers is 4 of the model's 4 decoder layers",
        hyper(trainableLayers=2),
    ),
    # rows
    (
        LORA,
        {"max_sequence_length": 200},
        WARNING,
        "ROWS_TOO_LONG",
        "about 45% of the rows are longer, told from their characters; the longest has some 500",
        hyper(maxSequenceLength=320),
    ),
    # machines
    (
        LORA,
        {"optimizer": "PAGED_ADAMW_8BIT"},
        RECOMMENDATION,
        "PAGING_WITHOUT_GPU",
        "optimizer is PAGED_ADAMW_8BIT, but on a CPU",
        hyper(optimizer="ADAMW_8BIT"),
    ),
]


@pytest.mark.parametrize(("method", "choices", "severity", "code", "said", "patch"), CASES)
def test_a_rule_names_the_value_and_its_patch_settles_it(
    method: TrainingType,
    choices: dict[str, Any],
    severity: Severity,
    code: str,
    said: str,
    patch: dict[str, object],
) -> None:
    (finding,) = found(method, choices)
    assert (finding.severity, finding.code) == (severity, code)
    assert said in finding.message
    assert finding.suggested_patch == patch
    assert check(apply(resolve(method, choices), patch), FACTS) == []


def only(code: str, findings: list[Finding]) -> Finding:
    (finding,) = [each for each in findings if each.code == code]
    return finding


def test_few_records_are_trained_on_in_smaller_steps_before_more_often() -> None:
    for records, better in (
        (200, {}),  # 69 steps
        (120, {"batchSize": 4}),  # 14 steps an epoch become 27
        (50, {"batchSize": 4, "epochs": 5}),  # 45 rows: 12 steps an epoch
        (10, {"batchSize": 4, "epochs": 10}),  # 9 rows, and no more than ten epochs
    ):
        facts = FACTS.model_copy(update={"records": records})
        few = [each for each in found(LORA, {}, facts) if each.code == "FEW_STEPS"]
        assert [each.suggested_patch for each in few] == ([hyper(**better)] if better else [])
    ten = FACTS.model_copy(update={"records": 10})
    hopeless = only("FEW_STEPS", found(LORA, {"batch_size": 4, "epochs": 10}, ten))
    assert hopeless.suggested_patch is None
    assert hopeless.remedy.startswith("Add records")


def test_a_limit_of_steps_that_makes_them_few_is_lifted() -> None:
    finding = only("FEW_STEPS", found(LORA, {"max_steps": 20}))
    assert finding.suggested_patch == hyper(maxSteps=None)


def test_a_batch_that_no_epoch_fills_is_not_accumulated_either() -> None:
    facts = FACTS.model_copy(update={"records": 20})
    finding = only(
        "BATCH_LARGER_THAN_DATA",
        found(LORA, {"batch_size": 32, "gradient_accumulation_steps": 4}, facts),
    )
    assert finding.suggested_patch == hyper(batchSize=16, gradientAccumulationSteps=1)


def test_many_epochs_over_few_records_stop_early_where_that_can_be_judged() -> None:
    for records, patch in (
        (500, {"earlyStopping": {"enabled": True}}),
        (150, hyper(epochs=10)),  # 15 are held out
        (2000, None),
    ):
        facts = FACTS.model_copy(update={"records": records})
        likely = [
            each for each in found(LORA, {"epochs": 30}, facts) if each.code == "OVERFITTING_LIKELY"
        ]
        assert [each.suggested_patch for each in likely] == ([patch] if patch else [])
    stops = {"epochs": 30, "early_stopping": {"enabled": True}}
    assert found(LORA, stops, FACTS.model_copy(update={"records": 500})) == []


def test_early_stopping_of_two_epochs_is_turned_off() -> None:
    finding = only(
        "EARLY_STOPPING_WITHOUT_EFFECT",
        found(LORA, {"epochs": 2, "early_stopping": {"enabled": True, "patience": 1}}),
    )
    assert finding.suggested_patch == {"earlyStopping": {"enabled": False}}


def test_as_many_records_are_held_out_as_tell_anything() -> None:
    for records, split in ((150, 0.134), (100, 0.2), (60, None)):
        facts = FACTS.model_copy(update={"records": records})
        finding = only("FEW_VALIDATION_RECORDS", found(LORA, {}, facts))
        patch = None if split is None else {"data": {"validationSplit": split}}
        assert finding.suggested_patch == patch
        if split is not None:
            cured = found(LORA, {"validation_split": split}, facts)
            assert "FEW_VALIDATION_RECORDS" not in [each.code for each in cured]


def test_a_rank_beyond_a_layers_width_is_lowered_to_it() -> None:
    narrow = SHAPE.linears[0].model_copy(update={"outputs": 50})
    facts = FACTS.model_copy(
        update={"shape": SHAPE.model_copy(update={"linears": (narrow, SHAPE.linears[1])})}
    )
    (finding,) = found(LORA, {"lora_rank": 64}, facts)
    assert (finding.severity, finding.code) == (WARNING, "RANK_EXCEEDS_LAYER")
    assert "only 50 wide" in finding.message
    assert finding.suggested_patch == hyper(loraRank=32, loraAlpha=64)
    elsewhere = {"lora_rank": 64, "target_modules": ("down_proj",)}
    assert found(LORA, elsewhere, facts) == []


def test_rows_longer_than_the_context_or_the_memory_are_to_be_divided() -> None:
    beyond = FACTS.model_copy(update={"row_tokens": (3000.0,) * 20})
    (finding,) = found(LORA, {"max_sequence_length": 2048}, beyond)
    assert (finding.code, finding.suggested_patch) == ("ROWS_TOO_LONG", None)
    assert finding.remedy == "Divide long records: the model's context holds no longer ones."

    def scarce(config: Any) -> MemoryEstimate:
        return memory(50 if config.max_sequence_length <= 200 else 99)

    (finding,) = found(LORA, {"max_sequence_length": 200}, FACTS, scarce)
    assert (finding.code, finding.suggested_patch) == ("ROWS_TOO_LONG", None)
    assert finding.remedy == "Divide long records: longer ones would not fit into memory."


def test_a_few_long_rows_are_no_matter() -> None:
    assert found(LORA, {"max_sequence_length": 280}) == []  # only one in twenty is longer


def test_a_length_that_no_row_comes_near_is_unused() -> None:
    facts = FACTS.model_copy(update={"context_length": 32768})
    (finding,) = found(LORA, {"max_sequence_length": 32768}, facts)
    assert (finding.severity, finding.code) == (RECOMMENDATION, "SEQUENCE_LENGTH_UNUSED")
    assert finding.suggested_patch == hyper(maxSequenceLength=1024)


def test_duplicates_and_data_that_says_little_are_told_of_the_dataset() -> None:
    (finding,) = found(LORA, {}, FACTS.model_copy(update={"duplicates": 200}))
    assert (finding.severity, finding.code, finding.path) == (
        WARNING,
        "DUPLICATE_RECORDS",
        ("datasetId",),
    )
    assert "200 of 2000 records" in finding.message
    assert found(LORA, {}, FACTS.model_copy(update={"duplicates": 199})) == []
    (finding,) = found(LORA, {}, FACTS.model_copy(update={"row_tokens": (11.0,) * 20}))
    assert (finding.severity, finding.code, finding.path) == (
        RECOMMENDATION,
        "FEW_TRAINED_TOKENS",
        ("datasetId",),
    )
    assert "about 9900 tokens" in finding.message


@pytest.mark.parametrize(("peak", "codes"), [(90, ["QUANTISATION_SLOWS_CPU"]), (91, [])])
def test_four_bits_on_a_cpu_are_for_bases_that_have_no_room(peak: int, codes: list[str]) -> None:
    def estimate(config: Any) -> MemoryEstimate:
        return memory(10 if config.quantised else peak)

    assert [each.code for each in found(QLORA, {}, FACTS, estimate)] == codes
    card = FACTS.model_copy(update={"device": "cuda"})
    assert found(QLORA, {}, card, estimate) == []


def test_a_model_is_split_only_where_it_must_be() -> None:
    split = {"devices": 2, "sharding": "FULL"}

    def roomy(config: Any) -> MemoryEstimate | None:
        return memory(50) if config.sharding == "NONE" else None

    (finding,) = found(LORA, split, FACTS, roomy)
    assert (finding.severity, finding.code) == (RECOMMENDATION, "SHARDING_NOT_NEEDED")
    assert finding.suggested_patch == {"sharding": "NONE"}
    assert found(LORA, split, FACTS, lambda _: None) == []


def test_dora_is_told_to_leave_the_fastest_way_where_there_is_one() -> None:
    (finding,) = found(LORA, {"dora": True})
    assert (finding.code, finding.suggested_patch) == ("DORA_COMPUTES_SLOWER", None)
    other = FACTS.model_copy(update={"shape": SHAPE.model_copy(update={"model_type": "gemma2"})})
    assert found(LORA, {"dora": True}, other) == []


def test_memory_does_not_suggest_four_bits_that_save_little() -> None:
    def estimate(config: Any) -> MemoryEstimate:
        return memory(50 if config.quantised else 99)

    short = {"max_sequence_length": 256}
    (finding,) = found(LORA, short, FACTS.model_copy(update={"row_tokens": ()}), estimate)
    assert finding.code == "MEMORY_MAY_NOT_SUFFICE"
    assert finding.suggested_patch == {"trainingType": "QLORA"}
    tied = FACTS.model_copy(update={"row_tokens": (), "linear_parameters": 10**7})
    (finding,) = found(LORA, short, tied, estimate)
    assert finding.code == "MEMORY_MAY_NOT_SUFFICE"
    assert finding.suggested_patch is None


def test_what_a_start_decides_is_not_advised_on() -> None:
    unusual = {"lora_rank": 4, "lora_alpha": 4, "learning_rate": 0.01}
    assert {each.path[-1] for each in found(LORA, unusual)} == {
        "learningRate",
        "loraRank",
        "loraAlpha",
    }
    held = FACTS.model_copy(update={"held": frozenset({"lora_rank", "lora_alpha"})})
    assert {each.path[-1] for each in found(LORA, unusual, held)} == {"learningRate"}


def test_nothing_is_said_of_a_machine_where_none_is_there() -> None:
    facts = FACTS.model_copy(update={"device": None})
    assert found(LORA, {"optimizer": "PAGED_ADAMW"}, facts) == []
