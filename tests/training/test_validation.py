"""Every finding about a config, and that its patch cures it."""

import math
import random

import pytest

from training.config import (
    DataType,
    Optimizer,
    Side,
    TrainingConfig,
    TrainingType,
    TrainOn,
    resolve,
)
from training.devices.placement import placement_findings
from training.findings import apply, combined_patch
from training.held_out import HeldOut
from training.templates.named import NamedTemplate
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
    assert errors(check(config(), facts)) == [("NO_CHAT_TEMPLATE", "chatTemplate")]
    text = facts.model_copy(update={"data_type": DataType.TEXT})
    assert errors(check(config(), text)) == []


CHATML, ALPACA = NamedTemplate.CHATML, NamedTemplate.ALPACA


@pytest.mark.parametrize(
    ("supported", "patch"),
    [
        ((CHATML, ALPACA), {"chatTemplate": "CHATML"}),
        ((ALPACA,), {"chatTemplate": "ALPACA"}),
        (None, {"chatTemplate": "ALPACA"}),
        ((), None),
    ],
)
def test_a_template_is_suggested_that_the_tokenizer_can_write(
    supported: tuple[NamedTemplate, ...] | None, patch: dict[str, str] | None
) -> None:
    facts = FACTS.model_copy(update={"has_chat_template": False, "chat_templates": supported})
    finding = check(config(sample_prompts=("Hi",)), facts)[0]
    assert (finding.code, finding.suggested_patch) == ("NO_CHAT_TEMPLATE", patch)
    if patch is not None:
        assert check(apply(config(sample_prompts=("Hi",)), patch), facts) == []


@pytest.mark.parametrize(
    ("chosen", "code", "said"),
    [
        ("MISTRAL", "END_OF_TURN_SPLIT", "MISTRAL ends a turn with the end token, which is not"),
        ("LLAMA_3", "END_OF_TURN_SPLIT", "LLAMA_3 ends a turn with <|eot_id|>, which is not one"),
        ("chatml", "UNKNOWN_CHAT_TEMPLATE", "There is no chat template 'chatml'"),
        ("{% if %}", "CHAT_TEMPLATE_UNUSABLE", "line 1 of the template: Expected an expression"),
        ("{" * 70_000, "CHAT_TEMPLATE_UNUSABLE", "it has 70000 characters, and may have at most"),
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_a_template_that_cannot_be_used_is_an_error_that_its_patch_cures(
    chosen: str, code: str, said: str, own: bool
) -> None:
    facts = FACTS.model_copy(update={"has_chat_template": own, "chat_templates": (CHATML,)})
    bad = config(chat_template=chosen)
    found = check(bad, facts)
    assert errors(found) == [(code, "chatTemplate")]
    assert said in found[0].message
    assert found[0].suggested_patch == {"chatTemplate": None if own else "CHATML"}
    assert errors(check(apply(bad, combined_patch(found)), facts)) == []


@pytest.mark.parametrize("chosen", ["CHATML", "{{ messages }}"])
def test_a_template_makes_up_for_one_that_is_missing(chosen: str) -> None:
    facts = FACTS.model_copy(update={"has_chat_template": False, "chat_templates": (CHATML,)})
    assert check(config(chat_template=chosen, sample_prompts=("Hi",)), facts) == []


def test_what_is_trained_says_nothing_to_texts() -> None:
    whole = config(train_on=TrainOn.ALL)
    for data_type in (DataType.TEXT, DataType.CODE):
        [finding] = check(whole, FACTS.model_copy(update={"data_type": data_type}))
        assert (finding.code, finding.path) == ("OPTION_WITHOUT_EFFECT", ("trainOn",))
        assert apply(whole, finding.suggested_patch or {}).train_on is TrainOn.ASSISTANT
    for data_type in (DataType.CHAT, DataType.QA, DataType.COMPLETION):
        assert check(whole, FACTS.model_copy(update={"data_type": data_type})) == []


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


TESTED = HeldOut(records=30, data_type=DataType.QA)


def test_a_dataset_to_test_with_takes_the_place_of_a_share() -> None:
    facts = FACTS.model_copy(update={"held_out": TESTED})
    assert check(config(validation_split=0.0), facts) == []
    assert (
        check(config(validation_split=0.0, early_stopping={"enabled": True, "patience": 1}), facts)
        == []
    )
    twice = config(validation_split=0.2)
    found = check(twice, facts)
    assert errors(found) == [("TWO_VALIDATION_SOURCES", "validationSplit")]
    assert check(apply(twice, combined_patch(found)), facts) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"data_type": DataType.CHAT}, "VALIDATION_TYPE_MISMATCH"),
        ({"trained_on": True}, "VALIDATION_IS_TRAINING"),
    ],
)
def test_a_dataset_that_cannot_test_is_refused(changes: dict[str, object], code: str) -> None:
    facts = FACTS.model_copy(update={"held_out": TESTED.model_copy(update=changes)})
    (found,) = check(config(validation_split=0.0), facts)
    assert (found.severity, found.code) == (Severity.ERROR, code)
    assert (found.path, found.suggested_patch) == (("data", "validationDatasetId"), None)


@pytest.mark.parametrize(
    ("choices", "facts", "name"),
    [
        ({"stratify": True, "validation_split": 0.0}, {"held_out": TESTED}, "stratify"),
        ({"stratify": True, "validation_split": 0.0}, {}, "stratify"),
        ({"stratify": True}, {"data_type": DataType.TEXT}, "stratify"),
        ({"drop_leaks_from": Side.VALIDATION}, {}, "dropLeaksFrom"),
    ],
)
def test_options_of_a_split_that_there_is_not_have_no_effect(
    choices: dict[str, object], facts: dict[str, object], name: str
) -> None:
    known = FACTS.model_copy(update=facts)
    chosen = config(**choices)
    found = [each for each in check(chosen, known) if each.severity is Severity.WARNING]
    assert [(each.code, each.path[-1]) for each in found] == [("OPTION_WITHOUT_EFFECT", name)]
    cured = apply(chosen, combined_patch(found))
    assert [each for each in check(cured, known) if each.severity is Severity.WARNING] == []


def test_labels_matter_to_a_sample_whatever_is_held_out() -> None:
    facts = FACTS.model_copy(update={"held_out": TESTED})
    for samples, told in ((FACTS.records - 1, []), (FACTS.records, ["stratify"])):
        chosen = config(stratify=True, validation_split=0.0, max_samples=samples)
        found = check(chosen, facts)
        assert [each.path[-1] for each in found if each.code == "OPTION_WITHOUT_EFFECT"] == told
