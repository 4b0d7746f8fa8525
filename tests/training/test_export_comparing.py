"""Where two models' answers part, and what is said of it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.jobs import qa_rows, write_job
from training.config import DataType
from training.errors import ParityFailed
from training.export.answers import WHOLE, Answers
from training.export.bounds import EXACT, ROUNDED, Bounds, bounds_of
from training.export.comparing import compare
from training.export.job_rows import job_rows
from training.export.parity import judge
from training.export.questions import FIXED, HOSTILE_STRINGS, read_questions, write_questions
from training.export.reading import Reading
from training.export.spec import WeightType

READING = Reading(
    names=("fixed text 1", "record 7 of the job's data"),
    prompts=("Hello?", "Well then."),
    input_ids=((1, 2, 3), (4, 5)),
    hostile_ids=tuple((9, len(text)) for text in HOSTILE_STRINGS),
    stops_at_end_of_turn=True,
    leading_bos=1,
)


def logits() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(len(ids), 11, generator=generator) for ids in READING.input_ids]


TRAINED = Answers(READING, {WHOLE: logits()})


def refusal(exported: Answers, bounds: Bounds = EXACT) -> str:
    with pytest.raises(ParityFailed) as caught:
        judge(compare(TRAINED, exported), bounds)
    return str(caught.value).partition(": ")[2]


def test_the_same_answers_are_within_every_bound() -> None:
    found = judge(compare(TRAINED, Answers(READING, {WHOLE: logits()})), Bounds(0.0, 1.0))
    assert (found.kl_divergence, found.top1_agreement, found.max_logit_difference) == (0, 1, 0)
    assert (found.positions, found.first_difference) == (5, None)
    assert (found.template_equal, found.tokens_equal, found.single_bos) == (True, True, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"prompts": ("Hello?", "Well  then.")},
            "its chat template gives other texts; first, record 7 of the job's data, from character "
            "6 on.",
        ),
        (
            {"input_ids": ((1, 2, 3), (4, 6, 7))},
            "its tokenizer gives other tokens; first, record 7 of the job's data, from token 2 on: "
            "6, 7 instead of 5.",
        ),
        (
            {"hostile_ids": ((9, 0), (8, 1), *READING.hostile_ids[2:])},
            "its tokenizer gives other tokens; first, ' ', from token 1 on: 8, 1 instead of 9, 1.",
        ),
        ({"leading_bos": 2}, "its prompts begin with more than one BOS token."),
        (
            {"stops_at_end_of_turn": False},
            "its generation does not stop at the token that ends a turn.",
        ),
    ],
)
def test_what_is_read_otherwise_is_refused_by_name(change: dict[str, object], message: str) -> None:
    other = Answers(READING.model_copy(update=change), {WHOLE: logits()})
    assert refusal(other) == message


def test_a_divergence_names_the_first_text_whose_likeliest_token_differs() -> None:
    other = logits()
    other[1][1, 10] = 50.0
    instead = int(logits()[1][1].argmax())
    assert refusal(Answers(READING, {WHOLE: other})).endswith(
        ", above 1e-05; first, after 2 tokens of record 7 of the job's data in one pass, 10 is the "
        f"likeliest next token instead of {instead}."
    )


def test_a_cache_that_answers_otherwise_is_refused() -> None:
    other = [logits()[0].roll(1, dims=-1)]
    found = refusal(Answers(READING, {WHOLE: logits(), "with its cache": other}))
    assert "; first, after 1 tokens of fixed text 1 with its cache, " in found


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_refused(value: float) -> None:
    other = logits()
    other[0][2, 3] = value
    assert refusal(Answers(READING, {WHOLE: other})).startswith("the KL divergence is ")


def test_answers_are_kept_for_another_process_whole_texts_first(tmp_path: Path) -> None:
    kept = Answers(READING, {WHOLE: logits(), "in a padded batch": logits()[:1]})
    kept.write(tmp_path)
    found = Answers.read(tmp_path)
    assert found.reading == READING
    assert list(found.passes) == [WHOLE, "in a padded batch"]
    for way, passed in kept.passes.items():
        assert all(map(torch.equal, passed, found.passes[way]))
    questions = FIXED
    write_questions(tmp_path / "questions.json", questions)
    assert read_questions(tmp_path / "questions.json") == questions


def test_each_stored_type_has_its_bound() -> None:
    assert (bounds_of("float32"), bounds_of("float16"), bounds_of("bfloat16")) == (
        EXACT,
        EXACT,
        ROUNDED,
    )
    assert bounds_of(WeightType.F32) == Bounds(kl_divergence=1e-8, top1_agreement=0.999)
    assert bounds_of(WeightType.F32, gelu_from_table=True) == EXACT
    assert bounds_of(WeightType.F16) == Bounds(kl_divergence=5e-5, top1_agreement=0.99)
    assert bounds_of(WeightType.INT8) == Bounds(kl_divergence=2e-2, top1_agreement=0.95)


def test_the_rows_that_a_run_held_out_are_asked(tiny_model: Path, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", tiny_model, qa_rows(20), validation_split=0.1)
    held_out = job_rows(job, str(tiny_model))
    assert len(held_out) == 2
    lines = [int(question.name.split()[1]) for question in held_out]
    assert [question.name for question in held_out] == [
        f"record {line} of the job's data" for line in sorted(lines)
    ]
    rows = qa_rows(20)
    assert [question.messages for question in held_out] == [
        (
            {"content": rows[line - 1]["question"], "role": "user"},
            {"content": rows[line - 1]["answer"], "role": "assistant"},
        )
        for line in sorted(lines)
    ]


def test_a_run_that_held_out_nothing_is_asked_about_what_it_trained_on(
    tiny_model: Path, tmp_path: Path
) -> None:
    rows = [{"text": f"One and {number}."} for number in range(9)]
    job = write_job(
        tmp_path / "job", tiny_model, rows, data_type=DataType.TEXT, validation_split=0.0
    )
    asked = job_rows(job, str(tiny_model))
    assert [question.text for question in asked] == [row["text"] for row in rows[:8]]


def test_a_dataset_of_its_own_is_asked_about(tiny_model: Path, tmp_path: Path) -> None:
    held_out = [{"question": "What is it?", "answer": "Yes."}]
    job = write_job(tmp_path / "job", tiny_model, qa_rows(4), held_out=held_out)
    (question,) = job_rows(job, str(tiny_model))
    assert question.messages[1]["content"] == "Yes."


def test_where_the_dataset_is_gone_or_changed_the_fixed_texts_must_do(
    tiny_model: Path, tmp_path: Path
) -> None:
    assert job_rows(tmp_path, str(tiny_model)) == []
    job = write_job(tmp_path / "job", tiny_model, qa_rows(4))
    (job / "data.jsonl").write_text("{}\n")
    assert job_rows(job, str(tiny_model)) == []
    (job / "data.jsonl").unlink()
    assert job_rows(job, str(tiny_model)) == []


def test_what_texts_begin_with_alike_counts_once() -> None:
    reading = READING.model_copy(
        update={
            "names": ("first", "second", "third"),
            "prompts": ("a", "b", "c"),
            "input_ids": ((1, 2, 3), (1, 2, 4), (1, 2)),
        }
    )
    own = [torch.eye(3), torch.eye(3), torch.eye(3)[:2]]
    other = [own[0], own[1].clone(), own[2].flip(0)]
    other[1][2] = torch.tensor([5.0, 0.0, 0.0])
    found = compare(Answers(reading, {WHOLE: own}), Answers(reading, {WHOLE: other}))
    assert (found.positions, found.top1_agreement) == (4, 0.75)
    assert found.first_difference is not None
    assert found.first_difference.startswith("after 3 tokens of second in one pass, 0 is")
