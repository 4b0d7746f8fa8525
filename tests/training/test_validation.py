"""Every finding about a config, and that its patch cures it."""

import math
import random

import pytest

from training.config import DataType, Optimizer, TrainingConfig, TrainingType, resolve
from training.devices.placement import placement_findings
from training.findings import apply, combined_patch
from training.validation import Finding, RunFacts, Severity, check

FACTS = RunFacts(records=200, data_type=DataType.QA, parameter_count=10**8, context_length=2048)


def config(**choices: object) -> TrainingConfig:
    return resolve(TrainingType.LORA, choices)


def errors(found: list[Finding]) -> list[tuple[str, str]]:
    return [(each.code, each.path[-1]) for each in found if each.severity is Severity.ERROR]


def test_the_defaults_have_no_finding() -> None:
    for method in TrainingType:
        assert check(resolve(method, {}), FACTS) == []


BEYOND = [
    ("learning_rate", -1.0, "learningRate"),
    ("learning_rate", 0.0, "learningRate"),
    ("learning_rate", math.nan, "learningRate"),
    ("learning_rate", math.inf, "learningRate"),
    ("learning_rate", 1.5, "learningRate"),
    ("batch_size", 0, "batchSize"),
    ("batch_size", -3, "batchSize"),
    ("batch_size", 4097, "batchSize"),
    ("epochs", 0, "epochs"),
    ("epochs", 10**9, "epochs"),
    ("warmup_steps", -1, "warmupSteps"),
    ("max_steps", 0, "maxSteps"),
    ("weight_decay", 1.1, "weightDecay"),
    ("weight_decay", math.nan, "weightDecay"),
    ("gradient_accumulation_steps", 0, "gradientAccumulationSteps"),
    ("gradient_accumulation_steps", 1025, "gradientAccumulationSteps"),
    ("max_gradient_norm", 0.0, "maxGradientNorm"),
    ("lora_rank", 0, "loraRank"),
    ("lora_rank", 1025, "loraRank"),
    ("lora_alpha", 0, "loraAlpha"),
    ("lora_dropout", 1.0, "loraDropout"),
    ("trainable_layers", -1, "trainableLayers"),
    ("trainable_layers", 1001, "trainableLayers"),
    ("max_sequence_length", 7, "maxSequenceLength"),
    ("max_sequence_length", 2049, "maxSequenceLength"),
    ("validation_split", 0.95, "validationSplit"),
    ("max_samples", 0, "maxSamples"),
    ("devices", 0, "devices"),
    ("devices", 1025, "devices"),
    ("seed", -1, "seed"),
    ("seed", 2**32, "seed"),
    ("early_stopping", {"patience": 0}, "patience"),
    ("early_stopping", {"min_delta": -0.1}, "minDelta"),
    ("checkpointing", {"interval": 0}, "interval"),
    ("checkpointing", {"keep_best": 0}, "keepBest"),
]


@pytest.mark.parametrize(("field", "value", "name"), BEYOND)
def test_a_value_beyond_its_limits_is_an_error_that_its_patch_cures(
    field: str, value: object, name: str
) -> None:
    bad = config(**{field: value})
    found = check(bad, FACTS)
    assert errors(found) == [("OUT_OF_RANGE", name)]
    shown = next(iter(value.values())) if isinstance(value, dict) else value
    assert f"{name} is {shown}" in found[0].message
    assert errors(check(apply(bad, combined_patch(found)), FACTS)) == []


def test_freeze_must_train_something_and_no_more_layers_than_there_are() -> None:
    facts = FACTS.model_copy(update={"layer_count": 1})
    nothing = resolve(TrainingType.FREEZE, {"trainable_layers": 0})
    found = check(nothing, facts)
    assert errors(found) == [("NOTHING_TRAINABLE", "trainableLayers")]
    assert combined_patch(found) == {"hyperparameters": {"trainableLayers": 1}}
    embeddings = resolve(TrainingType.FREEZE, {"trainable_layers": 0, "train_embeddings": True})
    assert check(embeddings, facts) == []
    found = check(resolve(TrainingType.FREEZE, {}), facts)
    assert errors(found) == [("OUT_OF_RANGE", "trainableLayers")]
    assert "0 to 1, the model's decoder layers" in found[0].message
    assert check(apply(nothing, combined_patch(found)), facts) == []
    assert check(resolve(TrainingType.LORA, {}), facts) == []


OTHERS_OPTIONS = [
    (TrainingType.FULL, "dora", True),
    (TrainingType.FULL, "rs_lora", True),
    (TrainingType.FREEZE, "lora_initialisation", "GAUSSIAN"),
    (TrainingType.FREEZE, "target_modules", ("q_proj",)),
    (TrainingType.LORA, "trainable_layers", 1),
    (TrainingType.QLORA, "train_embeddings", True),
]


@pytest.mark.parametrize(("method", "field", "value"), OTHERS_OPTIONS)
def test_an_option_that_a_method_does_not_read_is_a_warning(
    method: TrainingType, field: str, value: object
) -> None:
    chosen = resolve(method, {field: value})
    (finding,) = check(chosen, FACTS)
    assert (finding.severity, finding.code) == (Severity.WARNING, "OPTION_WITHOUT_EFFECT")
    assert str(method) in finding.message
    cured = apply(chosen, combined_patch([finding])).model_dump()
    assert cured[field] == resolve(method, {}).model_dump()[field]
    assert check(apply(chosen, combined_patch([finding])), FACTS) == []


def test_four_bits_that_save_little_are_not_recommended() -> None:
    qlora = resolve(TrainingType.QLORA, {})
    little = FACTS.model_copy(update={"linear_parameters": 4 * 10**7})
    (finding,) = check(qlora, little)
    assert (finding.severity, finding.code) == (
        Severity.RECOMMENDATION,
        "QUANTISATION_SAVES_LITTLE",
    )
    assert "59 of 200 MB smaller" in finding.message
    assert finding.suggested_patch == {"trainingType": "LORA"}
    much = FACTS.model_copy(update={"linear_parameters": 9 * 10**7})
    assert check(qlora, much) == []
    assert check(resolve(TrainingType.LORA, {}), little) == []


def test_a_large_model_is_better_trained_with_an_adapter() -> None:
    large = FACTS.model_copy(update={"parameter_count": 2 * 10**9})
    (finding,) = check(resolve(TrainingType.FULL, {}), large)
    assert finding.code == "ADAPTER_IS_CHEAPER"
    assert finding.suggested_patch == {
        "trainingType": "LORA",
        "hyperparameters": {"learningRate": 2e-4},
    }


def test_rs_lora_has_an_alpha_of_its_own() -> None:
    for rank in (8, 64):
        chosen = config(rs_lora=True, lora_rank=rank)
        assert chosen.lora_alpha == 8
        assert check(chosen, FACTS) == []


def test_all_findings_come_at_once() -> None:
    found = check(config(learning_rate=-1.0, batch_size=0, epochs=10**9, lora_rank=0), FACTS)
    assert sorted(name for _, name in errors(found)) == [
        "batchSize",
        "epochs",
        "learningRate",
        "loraRank",
    ]


def test_warm_up_must_end_before_the_run_does() -> None:
    found = check(config(warmup_steps=69, batch_size=8, epochs=3), FACTS)  # 180 rows: 23 x 3 steps
    assert errors(found) == [("WARMUP_TOO_LONG", "warmupSteps")]
    assert found[0].suggested_patch == {"hyperparameters": {"warmupSteps": 6}}
    assert errors(check(config(warmup_steps=68), FACTS)) == []


def test_an_empty_dataset_is_an_error_without_a_patch() -> None:
    facts = FACTS.model_copy(update={"records": 0})
    found = check(config(), facts)
    assert errors(found) == [("NO_RECORDS", "datasetId")]
    assert found[0].suggested_patch is None


def test_early_stopping_without_validation_records_is_an_error() -> None:
    early = {"enabled": True}
    assert errors(check(config(early_stopping=early, validation_split=0.0), FACTS)) == [
        ("NO_VALIDATION_RECORDS", "validationSplit")
    ]
    one = FACTS.model_copy(update={"records": 1})
    assert errors(check(config(early_stopping=early), one)) == [
        ("NO_VALIDATION_RECORDS", "enabled")
    ]


@pytest.mark.parametrize("data_type", [DataType.QA, DataType.CHAT])
def test_conversations_need_a_chat_template(data_type: DataType) -> None:
    facts = FACTS.model_copy(update={"data_type": data_type, "has_chat_template": False})
    assert errors(check(config(), facts)) == [("NO_CHAT_TEMPLATE", "modelId")]
    text = facts.model_copy(update={"data_type": DataType.TEXT})
    assert errors(check(config(), text)) == []


def test_sample_prompts_are_few_not_blank_and_answerable() -> None:
    many = check(config(sample_prompts=("Hi",) * 17), FACTS)
    assert errors(many) == [("OUT_OF_RANGE", "samplePrompts")]
    blank = check(config(sample_prompts=("Hi", " ")), FACTS)
    assert errors(blank) == [("BLANK_PROMPT", "samplePrompts")]
    assert blank[0].suggested_patch == {"samplePrompts": ["Hi"]}
    facts = RunFacts(records=9, data_type=DataType.TEXT, has_chat_template=False)
    found = check(config(sample_prompts=("Hi",)), facts)
    assert errors(found) == [("NO_CHAT_TEMPLATE", "samplePrompts")]
    assert found[0].suggested_patch == {"samplePrompts": []}


def test_an_unusual_value_is_a_warning_with_a_better_one() -> None:
    found = check(config(learning_rate=0.01, epochs=1), FACTS)
    assert [(each.severity, each.code, each.path[-1]) for each in found] == [
        (Severity.WARNING, "UNUSUAL_VALUE", "learningRate"),
        (Severity.WARNING, "UNUSUAL_VALUE", "epochs"),
        (Severity.WARNING, "FEW_STEPS", "epochs"),  # 23
    ]
    assert combined_patch(found) == {"hyperparameters": {"learningRate": 0.0002, "epochs": 3}}


def test_alpha_other_than_twice_the_rank_is_a_recommendation() -> None:
    found = check(config(lora_rank=8, lora_alpha=8), FACTS)
    assert [(each.severity, each.code) for each in found] == [
        (Severity.RECOMMENDATION, "ALPHA_NOT_TWICE_RANK")
    ]
    assert found[0].suggested_patch == {"hyperparameters": {"loraAlpha": 16}}


def test_a_batch_larger_than_the_data_is_a_warning() -> None:
    facts = FACTS.model_copy(update={"records": 50})
    found = check(config(batch_size=32, validation_split=0.4), facts)
    assert [each.code for each in found] == ["BATCH_LARGER_THAN_DATA", "FEW_STEPS"]
    assert found[0].suggested_patch == {"hyperparameters": {"batchSize": 16}}


def test_blank_target_modules_are_an_error() -> None:
    for modules in ((), ("q_proj", " ")):
        assert errors(check(config(target_modules=modules), FACTS)) == [
            ("BLANK_TARGET_MODULE", "targetModules")
        ]


def test_devices_and_sharding_must_fit_the_rest() -> None:
    assert check(config(devices=8, sharding="FULL"), FACTS) == []
    for choices, code, name, patch in (
        ({"sharding": "FULL"}, "NOTHING_TO_SHARD", "sharding", {"sharding": "NONE"}),
        ({"devices": 9}, "MORE_DEVICES_THAN_EXAMPLES", "devices", {"devices": 8}),
    ):
        (found,) = check(config(**choices), FACTS)
        assert (found.severity, found.code, found.path) == (Severity.WARNING, code, (name,))
        assert found.suggested_patch == patch
        assert check(apply(config(**choices), patch), FACTS) == []
    assert check(config(devices=16, gradient_accumulation_steps=2, epochs=5), FACTS) == []


def test_a_quantised_base_cannot_be_split() -> None:
    quantised = resolve(TrainingType.QLORA, {"devices": 2, "sharding": "FULL"})
    (found,) = placement_findings(quantised)
    assert (found.severity, found.code) == (Severity.ERROR, "QUANTISED_NOT_SHARDED")
    assert list(placement_findings(apply(quantised, found.suggested_patch or {}))) == []


def test_an_optimizer_of_whole_tensors_cannot_move_split_ones() -> None:
    bad = config(devices=2, sharding="FULL", optimizer="ADAMW_8BIT")
    (found,) = placement_findings(bad)
    assert (found.severity, found.code) == (Severity.ERROR, "OPTIMIZER_NOT_SHARDED")
    assert list(placement_findings(apply(bad, found.suggested_patch or {}))) == []


VALUES: dict[str, list[object]] = {
    "learning_rate": [-1.0, 0.0, 1e-6, 2e-4, 0.5, math.nan],
    "batch_size": [-1, 0, 1, 8, 64, 5000],
    "epochs": [0, 1, 3, 60, 1000, 10**9],
    "warmup_steps": [-5, 0, 9, 50, 10**6],
    "max_steps": [None, 0, 1, 7],
    "gradient_accumulation_steps": [0, 1, 3, 100],
    "lora_rank": [0, 1, 16, 100, 5000],
    "lora_alpha": [0, 1, 32, 5000],
    "max_sequence_length": [1, 64, 2048, 10**6],
    "validation_split": [-1.0, 0.0, 0.1, 0.9, 1.0],
    "max_samples": [None, 0, 1, 2, 50],
    "devices": [0, 1, 2, 9, 5000],
    "sharding": ["NONE", "FULL"],
    "early_stopping": [{}, {"enabled": True}, {"enabled": True, "patience": 0}],
    "sample_prompts": [(), ("Hi", ""), ("Hi",) * 20],
    "training_type": list(TrainingType),
    "optimizer": list(Optimizer),
    "rs_lora": [False, True],
    "trainable_layers": [-1, 0, 2, 3, 5000],
    "train_embeddings": [False, True],
}


def test_all_patches_together_leave_no_error() -> None:
    draw = random.Random(1)
    for _ in range(2000):
        choices = {field: draw.choice(values) for field, values in VALUES.items()}
        bad = config().model_validate(config().model_dump() | choices)
        facts = FACTS.model_copy(
            update={
                "records": draw.choice([1, 2, 5, 20, 200]),
                "layer_count": draw.choice([None, 1, 4]),
                "linear_parameters": draw.choice([None, 10**7, 9 * 10**7]),
            }
        )
        found = check(bad, facts)
        after = check(apply(bad, combined_patch(found)), facts)
        assert errors(after) == [], (choices, facts)
