"""Answers of really trained models, piece by piece, out of a process that keeps them."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.jobs import qa_rows, run_here, spec_of
from training.config import TrainingType
from training.devices.hardware import Hardware, probe
from training.serving.answering import answer
from training.serving.errors import ModelTooLarge, PromptTooLong, PromptUnusable
from training.serving.spec import (
    Asked,
    Ended,
    Ending,
    Message,
    Parameters,
    Piece,
    Reply,
    Served,
    Speaker,
    Unable,
    parse_reply,
)
from training.serving.warm import WarmModels

MakeJob = Callable[..., Path]

QUESTION = "What is 1 and 1?"


@pytest.fixture(scope="module")
def fp32() -> Hardware:
    """In which answers do not depend on what they are computed beside."""
    return probe().model_copy(update={"bfloat16": False})


def learnt(make_job: MakeJob, name: str, method: TrainingType, **choices: object) -> Served:
    rate = 3e-3 if method is TrainingType.FULL else 3e-2
    options = {"learning_rate": rate, "epochs": 8, "validation_split": 0.0} | choices
    job = make_job(name, rows=qa_rows(3) * 4, training_type=method, **options)
    run_here(job)
    spec = spec_of(job)
    return Served(
        model_path=spec.model_path,
        version_path=str(job / "model"),
        adapter=spec.config.adapts,
        quantised=spec.config.quantised,
    )


def asked(served: Served, text: str = QUESTION, **parameters: object) -> Asked:
    message = Message(role=Speaker.USER, content=text)
    chosen = {"max_new_tokens": 12} | parameters
    return Asked(served=served, messages=(message,), parameters=Parameters(**chosen))


def said(models: WarmModels, question: Asked) -> tuple[str, Ended]:
    pieces: list[str] = []
    ended = answer(question, models, said=pieces.append, abandoned=lambda: False)
    return "".join(pieces), ended


def by_transformers(folder: Path, text: str, tokens: int) -> str:
    model, tokenizer = (
        each.from_pretrained(folder) for each in (AutoModelForCausalLM, AutoTokenizer)
    )
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
    made = model.generate(**ids, max_new_tokens=tokens, do_sample=False)
    return str(tokenizer.decode(made[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))


def test_a_version_answers_as_transformers_has_it_and_ends_its_turn(
    make_job: MakeJob, fp32: Hardware
) -> None:
    served = learnt(make_job, "full", TrainingType.FULL, epochs=20)
    models = WarmModels(fp32, allowed_bytes=10**9)
    text, ended = said(models, asked(served, max_new_tokens=16))
    assert text == by_transformers(Path(served.version_path), QUESTION, 16)
    assert text.startswith("It is 2.")
    assert ended.ending is Ending.STOP
    assert 0 <= ended.first_seconds <= ended.seconds
    short, cut = said(models, asked(served, max_new_tokens=3))
    assert (cut.ending, cut.answer_tokens) == (Ending.LENGTH, 3)
    assert text.startswith(short)
    base, _ = said(models, asked(served.model_copy(update={"base": True}), max_new_tokens=16))
    assert base == by_transformers(Path(served.model_path), QUESTION, 16)
    assert base != text


def test_versions_of_one_base_share_it_and_answer_apart(make_job: MakeJob, fp32: Hardware) -> None:
    first = learnt(make_job, "first", TrainingType.LORA)
    second = learnt(make_job, "second", TrainingType.LORA, lora_rank=4, seed=7)
    both = WarmModels(fp32, allowed_bytes=10**9)
    base = first.model_copy(update={"base": True})
    order = (base, first, second, base, first)
    together = [said(both, asked(each))[0] for each in order]
    alone = [said(WarmModels(fp32, allowed_bytes=10**9), asked(each))[0] for each in order]
    assert together == alone
    assert len({*together}) > 1
    one = WarmModels(fp32, allowed_bytes=10**9)
    said(one, asked(base))
    assert both.held_bytes < 1.5 * one.held_bytes


def test_what_was_used_longest_ago_makes_room(make_job: MakeJob, fp32: Hardware) -> None:
    whole = learnt(make_job, "whole", TrainingType.FULL, epochs=1)
    models = WarmModels(fp32, allowed_bytes=10**9)
    said(models, asked(whole))
    size = models.held_bytes
    models = WarmModels(fp32, allowed_bytes=size + size // 2)
    for served in (whole, whole.model_copy(update={"base": True})):
        said(models, asked(served))
        assert models.held_bytes == size
    with pytest.raises(ModelTooLarge, match=f"for answers {size // 2} may be held"):
        said(WarmModels(fp32, allowed_bytes=size // 2), asked(whole))


def test_answers_are_drawn_by_their_seed_and_end_at_a_stop_text(
    make_job: MakeJob, fp32: Hardware
) -> None:
    served = learnt(make_job, "drawn", TrainingType.FULL, epochs=1)
    models = WarmModels(fp32, allowed_bytes=10**9)
    drawn = [
        said(models, asked(served, temperature=2.0, top_p=0.95, seed=seed))[0] for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    likeliest = said(models, asked(served))[0]
    stop = likeliest[3:6]
    text, ended = said(models, asked(served, stop=(stop,)))
    assert (ended.ending, stop in text) == (Ending.STOP, True)
    assert likeliest.startswith(text)


def test_a_conversation_that_cannot_be_asked_is_refused_by_name(
    make_job: MakeJob, fp32: Hardware
) -> None:
    served = learnt(make_job, "refused", TrainingType.LORA, epochs=1)
    models = WarmModels(fp32, allowed_bytes=10**9)
    with pytest.raises(PromptTooLong, match="at most 512"):
        said(models, asked(served, "one two " * 600))
    with models.ready(served) as ready:
        ready.tokenizer.chat_template = "{{ raise_exception('only the user may speak') }}"
    with pytest.raises(PromptUnusable, match="only the user may speak"):
        said(models, asked(served))
    with models.ready(served) as ready:
        ready.tokenizer.chat_template = None
    assert said(models, asked(served, "The capital"))[1].prompt_tokens < 10
    turns = (Message(role=Speaker.USER, content="a"), Message(role=Speaker.ASSISTANT, content="b"))
    with pytest.raises(PromptUnusable, match="one message alone"):
        said(models, asked(served).model_copy(update={"messages": turns}))


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-P", "-m", "training.serving.child", str(10**9)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


def replies(child: "subprocess.Popen[bytes]", line: bytes) -> Iterator[Reply]:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(line + b"\n")
    child.stdin.flush()
    while True:
        reply = parse_reply(child.stdout.readline())
        yield reply
        if not isinstance(reply, Piece):
            return


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_child_says_pieces_until_it_is_done_or_nobody_listens(
    make_job: MakeJob, child: "subprocess.Popen[bytes]"
) -> None:
    served = learnt(make_job, "child", TrainingType.FULL)
    *pieces, ended = replies(child, asked(served, max_new_tokens=16).model_dump_json().encode())
    assert isinstance(ended, Ended)
    assert "".join(each.text for each in pieces if isinstance(each, Piece)).startswith("It is")
    endless = asked(served, temperature=5.0, max_new_tokens=400).model_dump_json().encode()
    answers = replies(child, endless)
    assert isinstance(next(answers), Piece)
    assert child.stdin is not None
    child.stdin.write(b"abandon\n")
    child.stdin.flush()
    *_, ended = answers
    assert isinstance(ended, Ended)
    assert ended.answer_tokens < 400
    (unable,) = replies(child, json.dumps({"served": "x"}).encode())
    assert isinstance(unable, Unable)
    gone = asked(served.model_copy(update={"version_path": "/nowhere"}))
    (unable,) = replies(child, gone.model_dump_json().encode())
    assert isinstance(unable, Unable)
    assert unable.failure.code == "MODEL_UNREADABLE"
    child.stdin.close()
    assert child.wait(20) == 0
