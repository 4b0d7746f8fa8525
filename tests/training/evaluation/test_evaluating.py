"""Evaluations of really trained models, beside what transformers says of the same rows."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.jobs import losses, qa_rows, run_here, spec_of, write_rows
from training.config import DataType, Start, StartKind, TrainingType
from training.errors import NothingToTrain
from training.evaluation.evaluating import evaluated
from training.evaluation.run import main
from training.evaluation.spec import (
    PREDICTIONS,
    EvaluationOptions,
    EvaluationResult,
    EvaluationSpec,
    Prediction,
)

MakeJob = Callable[..., Path]

HELD_OUT = [{"question": f"What is {i} and 1?", "answer": f"It is {i + 1}."} for i in range(6)]
COLOURS = [
    {"question": f"Is {i} {'even' if i % 2 else 'odd'}?", "answer": ("No", "Yes")[i % 3 > 0]}
    for i in range(9)
]


def spec(
    job: Path, rows: list[dict[str, str]], name: str = "tests", **options: object
) -> EvaluationSpec:
    """An evaluation of what a job has trained, on these rows, in a folder of this name."""
    run, folder = spec_of(job), job / name
    folder.mkdir()
    path = folder / "records.jsonl"
    write_rows(path, rows)
    start = Start(kind=StartKind.VERSION, name="v1.0.0", path=str(job / "model"))
    changes = {"dataset_path": str(path), "validation_path": None, "start": start}
    return EvaluationSpec(
        run=run.model_copy(update=changes),
        options=EvaluationOptions(**{"max_new_tokens": 8} | options),
        trained_on=run.dataset_path,
    )


def evaluate(
    job: Path, rows: list[dict[str, str]], name: str = "tests", **options: object
) -> EvaluationResult:
    return evaluated(spec(job, rows, name, **options), job / name, told=lambda _: None)


def predictions(job: Path, name: str = "tests") -> list[Prediction]:
    lines = (job / name / PREDICTIONS).read_text(encoding="utf-8").splitlines()
    return [Prediction.model_validate_json(line) for line in lines]


@pytest.mark.parametrize("method", [TrainingType.LORA, TrainingType.FULL])
def test_the_loss_is_that_of_the_run_and_the_bases_that_of_transformers(
    make_job: MakeJob, tiny_model: Path, method: TrainingType
) -> None:
    job = make_job(training_type=method, held_out=HELD_OUT, epochs=1, learning_rate=1e-2)
    run_here(job)
    found = evaluate(job, HELD_OUT, answers=False)
    (validation,) = losses(job)[1::2]
    assert found.tuned.loss == pytest.approx(validation, rel=1e-6)
    assert found.tuned.perplexity == pytest.approx(math.exp(validation), rel=1e-6)
    assert found.base is not None
    assert found.base.loss == pytest.approx(loss_by_transformers(tiny_model, HELD_OUT), rel=5e-3)
    assert found.base.loss > found.tuned.loss
    assert (found.records, found.dropped, found.tuned.answers) == (6, 0, None)


def loss_by_transformers(model_path: Path, rows: list[dict[str, str]]) -> float:
    """Summed over answers and their stop tokens, in fp32."""
    model, tokenizer = (
        each.from_pretrained(model_path) for each in (AutoModelForCausalLM, AutoTokenizer)
    )
    total, count = 0.0, 0
    for row in rows:
        asked = [{"role": "user", "content": row["question"]}]
        prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        after = tokenizer(row["answer"] + "<|im_end|>", add_special_tokens=False)["input_ids"]
        ids = torch.tensor([before + after])
        with torch.no_grad():
            logs = model(input_ids=ids).logits[0, len(before) - 1 : -1].log_softmax(-1)
        total -= float(logs.gather(1, torch.tensor(after)[:, None]).sum())
        count += len(after)
    return total / count


def test_answers_are_what_the_model_generates_for_each_prompt_alone(make_job: MakeJob) -> None:
    rows = qa_rows(4)
    learnt = {"training_type": TrainingType.FULL, "learning_rate": 3e-3, "epochs": 10}
    job = make_job(rows=rows * 4, validation_split=0.0, **learnt)
    run_here(job)
    found = evaluate(job, rows, max_new_tokens=16)
    told = predictions(job)
    model, tokenizer = (
        each.from_pretrained(job / "model") for each in (AutoModelForCausalLM, AutoTokenizer)
    )
    alone = []
    for each in told:
        asked = tokenizer(each.prompt, return_tensors="pt", add_special_tokens=False)
        ids = model.generate(**asked, max_new_tokens=16, do_sample=False)
        new = ids[0, asked["input_ids"].shape[1] :]
        alone.append(tokenizer.decode(new, skip_special_tokens=True).strip())
    assert [each.tuned for each in told] == alone
    assert [each.expected for each in told] == [row["answer"] for row in rows]
    assert found.tuned.answers is not None
    exact = [each.tuned_exact for each in told]
    assert found.tuned.answers.exact_match == sum(map(bool, exact)) / 4
    assert found.base is not None
    assert found.base.answers is not None
    assert found.tuned.answers.f1 > found.base.answers.f1
    assert found.tuned.answers.f1 == pytest.approx(sum(each.tuned_f1 or 0 for each in told) / 4)
    assert found.seen is not None
    assert (found.seen.count, found.seen.lines) == (4, (1, 2, 3, 4))


def test_labels_are_chosen_by_likelihood(make_job: MakeJob, tiny_model: Path) -> None:
    job = make_job(rows=COLOURS * 2, learning_rate=3e-2, epochs=8, validation_split=0.0)
    run_here(job)
    found = evaluate(job, COLOURS, answers=False, base=False)
    assert found.unlabelled is None
    assert found.tuned.labels is not None
    told = predictions(job)
    right = [each.tuned_label == each.expected for each in told]
    assert found.tuned.labels.accuracy == sum(right) / 9
    assert [each.label for each in found.tuned.labels.classes] == ["No", "Yes"]
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model = PeftModel.from_pretrained(model, str(job / "model"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    for each in told:
        logs = {label: likelihood(model, tokenizer, each.prompt, label) for label in ("No", "Yes")}
        best = max(logs, key=logs.__getitem__)
        share = 1 / sum(math.exp(log - logs[best]) for log in logs.values())
        assert each.tuned_confidence == pytest.approx(share, abs=0.02)
        if share > 0.52:  # nearer than that, bf16 may decide
            assert each.tuned_label == best


def likelihood(model: torch.nn.Module, tokenizer: object, prompt: str, label: str) -> float:
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
    after = tokenizer(f"{label}<|im_end|>", add_special_tokens=False)["input_ids"]  # type: ignore[operator]
    ids = torch.tensor([before + after])
    with torch.no_grad():
        logs = model(input_ids=ids).logits[0, len(before) - 1 : -1].log_softmax(-1)
    return float(logs.gather(1, torch.tensor(after)[:, None]).sum())


def test_plain_text_has_a_loss_and_no_answers(make_job: MakeJob) -> None:
    rows = [{"text": f"The capital of number {i} is Paris."} for i in range(8)]
    job = make_job(rows=rows, data_type=DataType.TEXT, epochs=1)
    run_here(job)
    found = evaluate(job, rows[:4])
    assert (found.tuned.answers, found.tuned.labels, predictions(job)) == (None, None, [])
    assert found.unlabelled == "There are 0 different answers; labels are 2 to 50."
    assert found.tuned.loss > 0


def test_a_sample_is_drawn_by_its_seed_and_what_is_too_long_is_named(make_job: MakeJob) -> None:
    job = make_job(epochs=1, max_sequence_length=64, validation_split=0.0)
    run_here(job)
    long = [{"question": "What? " * 100, "answer": "That."}]
    found = evaluate(job, [*long, *qa_rows(20)], answers=False, base=False)
    assert (found.records, found.dropped, found.dropped_lines) == (20, 1, (1,))
    drawn = {"max_records": 5, "answers": False, "base": False}
    samples = [evaluate(job, qa_rows(20), name, **drawn) for name in ("one", "two")]
    assert [each.records for each in samples] == [5, 5]
    one, two = (predictions(job, name) for name in ("one", "two"))
    assert one == two
    lines = [each.line for each in one]
    assert lines == sorted(lines) != [1, 2, 3, 4, 5]


def test_a_child_says_how_far_it_is_and_why_it_failed(make_job: MakeJob) -> None:
    job = make_job(epochs=1)
    run_here(job)
    asked = spec(job, HELD_OUT, answers=False)
    folder = job / "tests"
    (folder / "evaluation.json").write_text(asked.model_dump_json())
    assert main([str(folder)]) == 0
    result = EvaluationResult.model_validate(
        json.loads((folder / "result.json").read_text())["result"]
    )
    assert result.base is not None
    assert 0 < float((folder / "progress").read_text()) <= 100
    short = asked.run.config.model_copy(update={"max_sequence_length": 1})
    broken = asked.model_copy(update={"run": asked.run.model_copy(update={"config": short})})
    with pytest.raises(NothingToTrain):
        evaluated(broken, folder, told=lambda _: None)
    (folder / "evaluation.json").write_text(broken.model_dump_json())
    assert main([str(folder)]) == 0
    error = json.loads((folder / "result.json").read_text())["error"]
    assert error["code"] == "NOTHING_TO_TRAIN"
