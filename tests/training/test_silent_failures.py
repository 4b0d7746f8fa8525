"""The ways in which fine-tuning goes wrong without a word, each with the tests that would tell.

 1. Accumulated micro-batches are not the one batch they stand for.
    engine/test_exactness.py::test_accumulating_eight_by_one_is_two_by_four
    test_oracle.py::test_there_is_no_drift_from_the_oracle
    test_silent_failures.py::test_only_the_product_of_batch_and_accumulation_counts
 2. The denominator counts labels that nothing predicts.
    test_silent_failures.py::test_the_loss_that_is_told_is_the_librarys_own
    test_silent_failures.py::test_every_label_that_is_counted_is_predicted
 3. Labels are shifted twice.
    engine/test_exactness.py::test_each_position_predicts_the_next_token_and_padding_bears_no_loss
    test_silent_failures.py::test_the_loss_that_is_told_is_the_librarys_own
 4. The stop token of an assistant's turn is not trained.
    test_silent_failures.py::test_the_stop_token_of_every_assistant_turn_is_trained
    test_rendering.py::test_a_template_without_a_stop_token_is_refused
 5. The stop token is also the padding token, and is masked as such.
    test_silent_failures.py::test_the_stop_token_of_every_assistant_turn_is_trained
    engine/test_exactness.py::test_a_token_that_is_padding_and_stop_at_once_is_trained
 6. Tokens merge where the prompt ends and the answer begins.
    test_silent_failures.py::test_tokens_never_merge_across_the_beginning_of_an_answer
    test_silent_failures.py::test_a_completion_never_merges_with_its_prompt
 7. Truncation leaves rows without a label, and a loss of zero.
    data/test_token_file.py::test_longer_rows_are_cut_left_out_or_an_error
    test_pipeline.py::test_cut_and_dropped_records_are_named
    test_pipeline.py::test_nothing_left_to_train_is_an_error
 8. The template marks no assistant's text, and the mask is all zeros.
    test_silent_failures.py::test_the_stop_token_of_every_assistant_turn_is_trained
    test_rendering.py::test_other_templates_train_the_same_tokens
 9. Rows of a pack see one another.
    engine/test_exactness.py::test_changing_one_row_of_a_pack_changes_nothing_in_another
    engine/test_exactness.py::test_packed_is_unpacked_in_loss_and_gradients
10. The template and the tokenizer each add the token that begins a text.
    test_silent_failures.py::test_a_tokenizer_that_frames_texts_frames_them_once
11. Tied embeddings come apart, in training or in merging.
    engine/test_exactness.py::test_tied_weights_get_both_their_gradients
    test_silent_failures.py::test_tied_embeddings_stay_tied
12. Merging rounds the adapter away, or merges it into another base.
    test_export.py::test_a_merged_export_is_the_trained_model
    test_export.py::test_the_untrained_base_is_refused
    test_export.py::test_a_model_that_rounding_would_change_is_stored_in_full
    test_silent_failures.py::test_what_is_frozen_is_stored_as_the_base_has_it
13. Weights are moved, or stored, in bf16.
    engine/test_parts.py::test_masters_add_up_what_bf16_cannot_tell
    test_silent_failures.py::test_trained_weights_are_moved_and_stored_in_fp32
    test_oracle.py::test_in_bf16_masters_keep_us_near_fp32
14. A run that is resumed after its first epoch sees its rows in another order.
    test_killed.py::test_a_run_that_is_killed_again_and_again_is_the_very_same_model
    test_batches.py::test_a_plan_sees_each_row_once_an_epoch_in_another_order
15. A checkpoint that lacks a part is taken for a whole one.
    test_pipeline.py::test_a_damaged_checkpoint_costs_an_epoch_and_not_the_run
    test_checkpoints.py::test_a_damaged_checkpoint_is_passed_over_and_named
16. A loss that is not a number is smoothed over.
    test_trouble.py::test_a_spoilt_record_is_named_and_the_last_good_step_is_saved
    test_stepper.py::test_a_loss_that_is_not_finite_is_never_told_as_a_measurement
17. More threads than cores wait for one another, burning them.
    test_silent_failures.py::test_threads_are_bounded_before_torch_can_start_any
    test_silent_failures.py::test_a_child_that_nobody_prepared_waits_passively_too
"""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerBase

from jobs.processes.child import Child
from tests.training.jobs import of_kind, qa_rows, read_events, run_here, spec_of
from tests.training.weights import difference, weights_of
from training import preparation
from training.config import ADAPTER_METHODS, DataType, TrainingType
from training.data.records import Record
from training.data.rendering import IGNORED, Renderer
from training.devices.hardware import Hardware
from training.engine.packs import make_pack
from training.events import EpochCompleted
from training.export import safetensors
from training.export.spec import ExportSpec
from training.models.base_models import load_base
from training.models.tokenizers import load_tokenizer
from training.steps.checkpoints import CheckpointStore

MakeJob = Callable[..., Path]

HERE: Final = Path(__file__).parent
CHATML: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHATML_MARKED: Final = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_3: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL: Final = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
TEMPLATES: Final = {
    "ChatML": (CHATML, "<|im_end|>"),
    "ChatML, marked": (CHATML_MARKED, "<|im_end|>"),
    "Llama 3": (LLAMA_3, "<|eot_id|>"),
    "Gemma": (GEMMA, "<end_of_turn>"),
    "Mistral": (MISTRAL, "</s>"),
}
TURNS: Final[Record] = {
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "What is one?"},
        {"role": "assistant", "content": "One is one."},
    ]
}


@pytest.fixture
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(tiny_model))


def renderer(
    tokenizer: PreTrainedTokenizerBase, data_type: DataType, stop: str = "<|im_end|>"
) -> Renderer:
    stops = frozenset({tokenizer.convert_tokens_to_ids(stop)})
    return Renderer(tokenizer, data_type, stop_token_ids=stops, max_length=512)


def compute_in(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    bfloat16 = dtype is torch.bfloat16
    hardware = Hardware(device="cpu", name="test", cores=1, bfloat16=bfloat16)
    monkeypatch.setattr(preparation, "probe", lambda: hardware)


def test_the_tests_that_the_table_names_are_there() -> None:
    assert __doc__ is not None
    named = re.findall(r"^    (\S+)::(\S+)$", __doc__, re.MULTILINE)
    assert [int(number) for number in re.findall(r"^ ?(\d+)\. ", __doc__, re.MULTILINE)] == [
        *range(1, 18)
    ]
    for file, name in named:
        tree = ast.parse((HERE / file).read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        functions |= {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}
        assert name in functions


def test_only_the_product_of_batch_and_accumulation_counts(make_job: MakeJob) -> None:
    eight, four, two = (
        make_job(f"{batch}", batch_size=batch, gradient_accumulation_steps=8 // batch)
        for batch in (8, 4, 2)
    )
    for job in (eight, four, two):
        run_here(job)
    assert difference(eight, four) == 0.0
    assert difference(eight, two) == 0.0


@pytest.mark.parametrize("data_type", [DataType.QA, DataType.TEXT, DataType.COMPLETION])
def test_the_loss_that_is_told_is_the_librarys_own(
    make_job: MakeJob,
    tokenizer: PreTrainedTokenizerBase,
    monkeypatch: pytest.MonkeyPatch,
    data_type: DataType,
) -> None:
    compute_in(torch.float32, monkeypatch)
    rows = {
        DataType.QA: qa_rows(8),
        DataType.TEXT: [{"text": "one two three" * (n + 1)} for n in range(8)],
        DataType.COMPLETION: [
            {"prompt": f"{n} ", "completion": "yes " * n + "no"} for n in range(8)
        ],
    }[data_type]
    choices = {"batch_size": 4, "gradient_accumulation_steps": 2, "epochs": 1}
    job = make_job(
        rows=rows, data_type=data_type, lora_dropout=0.0, validation_split=0.0, **choices
    )
    run_here(job)
    (epoch,) = of_kind(read_events(job), EpochCompleted)  # of one step, before which nothing moved

    model = load_base(spec_of(job).model_path, torch.float32)
    total, tokens = 0.0, 0
    for row in renderer(tokenizer, data_type).rows(list(enumerate(rows, start=1))):
        labels = torch.tensor([row.labels])
        loss = model(input_ids=torch.tensor([row.input_ids]), labels=labels).loss.item()
        predicted = int((labels[:, 1:] != IGNORED).sum())
        total, tokens = total + loss * predicted, tokens + predicted
    assert epoch.training_loss == pytest.approx(total / tokens, rel=1e-6)


@pytest.mark.parametrize(
    ("data_type", "record"),
    [
        (DataType.TEXT, {"text": "one two three"}),
        (DataType.CODE, {"code": "def add(first, second)"}),
        (DataType.COMPLETION, {"prompt": "", "completion": "one two"}),
        (DataType.COMPLETION, {"prompt": "one", "completion": " two"}),
        (DataType.CHAT, TURNS),
    ],
)
def test_every_label_that_is_counted_is_predicted(
    tokenizer: PreTrainedTokenizerBase, data_type: DataType, record: Record
) -> None:
    row = renderer(tokenizer, data_type).row(1, record)
    assert row.labels[0] == IGNORED
    assert row.trained_tokens == len(make_pack([row]).targets) > 0


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_stop_token_of_every_assistant_turn_is_trained(
    tokenizer: PreTrainedTokenizerBase, name: str
) -> None:
    tokenizer.chat_template, stop = TEMPLATES[name]
    markers = re.findall(r"<[|\w]+>|\[/?INST\]", tokenizer.chat_template)
    tokenizer.add_special_tokens({"additional_special_tokens": markers})
    tokenizer.add_special_tokens({"eos_token": stop, "pad_token": stop, "bos_token": "<bos>"})
    row = renderer(tokenizer, DataType.CHAT, stop).row(1, TURNS)
    trained = [label for label in row.labels if label != IGNORED]
    stop_id = tokenizer.convert_tokens_to_ids(stop)
    answers = [answer.strip() for answer in tokenizer.decode(trained).split(stop)]
    assert answers == ["Hello", "One is one.", ""]
    assert trained.count(stop_id) == 2
    assert make_pack([row]).targets.tolist() == trained
    assert tokenizer.decode(row.input_ids) == tokenizer.apply_chat_template(
        TURNS["messages"], tokenize=False
    )


@pytest.fixture
def merging(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer with a token for two line feeds, as large vocabularies have one."""
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    described["model"]["vocab"]["ĊĊ"] = len(described["model"]["vocab"])
    described["model"]["merges"].append(["Ċ", "Ċ"])
    tokenizer.backend_tokenizer.model = Tokenizer.from_str(json.dumps(described)).model
    return tokenizer


SPACED: Final = CHATML.replace("assistant\n'", "assistant '").replace(
    "['role'] + '\n'", "['role'] + ' '"
)


@pytest.mark.parametrize(
    ("template", "question", "answer"),
    [(CHATML, "Say it", "\n\nIt"), (CHATML, "Say it", "\n"), (SPACED, "Say it", "The sky")],
)
def test_tokens_never_merge_across_the_beginning_of_an_answer(
    merging: PreTrainedTokenizerBase, template: str, question: str, answer: str
) -> None:
    merging.chat_template = template
    record: Record = {"question": question, "answer": answer}
    row = renderer(merging, DataType.QA).row(1, record)
    asked = [{"role": "user", "content": question}]
    prompt = merging.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    together = merging(merging.decode(row.input_ids), add_special_tokens=False)["input_ids"]
    assert together[: len(prompt)] != prompt  # as a whole the text would have merged them
    assert row.input_ids[: len(prompt)] == prompt
    assert row.labels[: len(prompt)] == [IGNORED] * len(prompt)
    trained = [label for label in row.labels if label != IGNORED]
    assert merging.decode(trained) == answer + "<|im_end|>"


def test_a_completion_never_merges_with_its_prompt(tokenizer: PreTrainedTokenizerBase) -> None:
    record: Record = {"prompt": "The cap", "completion": "ital"}
    row = renderer(tokenizer, DataType.COMPLETION).row(1, record)
    prompt, together = (tokenizer(text)["input_ids"] for text in ("The cap", "The capital"))
    assert together[: len(prompt)] != prompt
    assert row.input_ids[: len(prompt)] == prompt


@pytest.mark.parametrize(
    ("data_type", "record"),
    [
        (DataType.TEXT, {"text": "one two"}),
        (DataType.COMPLETION, {"prompt": "one", "completion": " two"}),
        (DataType.CHAT, TURNS),
    ],
)
def test_a_tokenizer_that_frames_texts_frames_them_once(
    tokenizer: PreTrainedTokenizerBase, data_type: DataType, record: Record
) -> None:
    begin, end = tokenizer.bos_token, tokenizer.eos_token
    ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in (begin, end)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=ids
    )
    assert tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id
    tokenizer.chat_template = "{{ bos_token }}" + CHATML
    row = renderer(tokenizer, data_type).row(1, record)
    assert row.input_ids[0] == tokenizer.bos_token_id
    assert row.input_ids.count(tokenizer.bos_token_id) == 1
    turns = len(TURNS["messages"]) if data_type is DataType.CHAT else 1
    assert row.input_ids.count(tokenizer.eos_token_id) == turns


@pytest.mark.parametrize("method", TrainingType)
def test_tied_embeddings_stay_tied(make_job: MakeJob, tmp_path: Path, method: TrainingType) -> None:
    job = make_job(training_type=method, learning_rate=1e-2)
    run_here(job)
    assert not [name for name in weights_of(job) if "lm_head" in name]
    adapter = method in ADAPTER_METHODS
    base = spec_of(job).model_path
    spec = ExportSpec(
        version_path=str(job / "model"), model_path=base, adapter=adapter, model_name="Tied"
    )
    safetensors.write(spec, tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    exported = load_base(str(tmp_path), torch.float32)
    assert exported.config.tie_word_embeddings
    assert exported.lm_head.weight is exported.model.embed_tokens.weight
    kept = load_base(base, torch.float32).lm_head.weight
    assert torch.equal(exported.lm_head.weight, kept) == (method is not TrainingType.FULL)


@pytest.mark.parametrize("method", TrainingType)
def test_trained_weights_are_moved_and_stored_in_fp32(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, method: TrainingType
) -> None:
    compute_in(torch.bfloat16, monkeypatch)
    job = make_job(training_type=method, epochs=1)
    run_here(job)
    stored = weights_of(job)
    (checkpoint,) = CheckpointStore(job / "checkpoints").all()
    trained = CheckpointStore(job / "checkpoints").load(checkpoint.name).weights
    for weights in (stored, trained):
        assert {each.dtype for each in weights.values()} == {torch.float32}
    for each in trained.values():
        assert not torch.equal(each, each.bfloat16().float())
        assert any(torch.equal(each, other) for other in stored.values())


def test_what_is_frozen_is_stored_as_the_base_has_it(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_in(torch.bfloat16, monkeypatch)
    job = make_job(training_type=TrainingType.FREEZE, trainable_layers=1, epochs=1)
    run_here(job)
    stored, base = weights_of(job), load_base(spec_of(job).model_path, torch.float32).state_dict()
    assert base.keys() - stored.keys() == {"lm_head.weight"}  # which is the embedding
    changed = {name for name in stored if not torch.equal(stored[name], base[name])}
    assert {name.partition("layers.")[2][:1] for name in changed} == {"1"}


async def test_threads_are_bounded_before_torch_can_start_any(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HERE.parents[1]))
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    log = tmp_path / "said"
    child = await Child.start("tests.training.first_import", str(make_job()), log=log, threads=3)
    assert await child.wait() == 0
    child.kill()
    found = json.loads(log.read_bytes())
    assert found["OMP_WAIT_POLICY"] == "passive"
    assert (found["OMP_NUM_THREADS"], found["MKL_NUM_THREADS"]) == ("3", "3")
    assert found["TOKENIZERS_PARALLELISM"] == "false"


def test_a_child_that_nobody_prepared_waits_passively_too(make_job: MakeJob) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    found = subprocess.run(
        [sys.executable, "-m", "tests.training.first_import", str(make_job())],
        capture_output=True,
        check=True,
        cwd=HERE.parents[1],
        env=bare,
    )
    assert json.loads(found.stdout)["OMP_WAIT_POLICY"] == "passive"
