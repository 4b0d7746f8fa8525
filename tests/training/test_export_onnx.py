"""A graph that is the trained model, by onnxruntime alone: at once, with its cache, and in a batch."""

import json
import logging
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import GenerationConfig

from tests.tiny_model import END_OF_TURN, make_architecture
from tests.training.versions import (
    LICENCE,
    contents,
    in_format,
    told_by_its_readme,
    trained_version,
)
from training.errors import DiskFull, ParityFailed
from training.export import errors, run
from training.export.answers import WHOLE
from training.export.bounds import EXACT, Bounds, bounds_of
from training.export.comparing import compare
from training.export.errors import ExporterUnavailable, NotExportable, short_writes_named
from training.export.merging import whole_model
from training.export.onnx import folder as onnx_folder
from training.export.onnx.answers import onnx_answers
from training.export.onnx.eight_bits import quantise
from training.export.onnx.session import Session
from training.export.parity import judge, questions_of, trained_answers
from training.export.spec import ExportFormat, ExportResult, ExportSpec, Parity, WeightType
from training.files import disk_full_named
from training.models.base_models import load_base
from training.models.tokenizers import load_tokenizer

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module", autouse=True)
def _no_traces() -> Iterator[None]:
    """torch renders a trace of each symbol for whoever might listen, and pytest listens to everything."""
    traces = logging.getLogger("torch.__trace")
    traces.disabled = True
    yield
    traces.disabled = False


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ExportSpec:
    """Trained until it answers as its records do."""
    version = trained_version(tmp_path_factory.mktemp("llama"), "llama")
    return in_format(version, ExportFormat.ONNX)


@pytest.fixture(scope="module")
def files(spec: ExportSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graph") / "files"
    folder.mkdir()
    onnx_folder.write(spec, folder)
    return folder


def parity(spec: ExportSpec, files: Path, bounds: Bounds = EXACT) -> Parity:
    questions = questions_of(spec)
    return judge(compare(trained_answers(spec, questions), onnx_answers(files, questions)), bounds)


@pytest.mark.slow
def test_it_is_the_trained_model_in_every_way_it_is_used(spec: ExportSpec, files: Path) -> None:
    answers = onnx_answers(files, questions_of(spec))
    assert {way: len(passed) for way, passed in answers.passes.items()} == {
        WHOLE: 11,
        "with its cache": 4,
        "in a padded batch": 3,
    }
    found = judge(compare(trained_answers(spec, questions_of(spec)), answers), EXACT)
    assert found.kl_divergence < 1e-10
    assert found.top1_agreement == 1.0
    assert found.max_logit_difference < 1e-4
    assert (found.job_rows, found.first_difference) == (4, None)
    texts = answers.reading.input_ids  # what several begin with alike is compared once
    assert found.positions == sum(
        len({ids[:end] for ids in texts[: len(passed)] for end in range(1, len(ids) + 1)})
        for passed in answers.passes.values()
    )


@pytest.mark.slow
def test_its_axes_are_named_and_vary(files: Path) -> None:
    graph = onnx.load(files / "model.onnx", load_external_data=False).graph
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    cache = {f"past_key_values.{layer}.{part}" for layer in range(3) for part in ("key", "value")}
    present = {name.replace("past_key_values", "present") for name in cache}
    assert shapes == {
        "input_ids": ["batch", "sequence"],
        "attention_mask": ["batch", "total"],
        "position_ids": ["batch", "sequence"],
        "logits": ["batch", "sequence", 384],
        **{name: ["batch", 2, "past", 16] for name in cache},
        **{name: ["batch", 2, "total", 16] for name in present},
    }
    session = Session(files, threads=1)
    ids = np.arange(5 * 9).reshape(5, 9)
    logits, kept = session(ids, np.ones_like(ids), session.empty_cache(5))
    assert logits.shape == (5, 9, 384)
    assert {each.shape for each in kept.values()} == {(5, 2, 9, 16)}


@pytest.mark.slow
def test_step_by_step_it_says_what_transformers_says_and_stops_there(
    spec: ExportSpec, files: Path
) -> None:
    tokenizer = load_tokenizer(str(files))
    model = whole_model(spec)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    said = model.generate(**prompt, max_new_tokens=64, do_sample=False)[0]
    expected = tokenizer.decode(said[prompt["input_ids"].shape[1] :])
    assert told_by_its_readme(files) == f"{expected}\n"
    stops = GenerationConfig.from_pretrained(files).eos_token_id
    assert tokenizer.convert_tokens_to_ids(END_OF_TURN) in np.atleast_1d(stops)


@pytest.mark.slow
def test_nothing_in_it_is_of_this_machine(spec: ExportSpec, files: Path) -> None:
    assert set(contents(files)) == {
        "LICENSE",
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.onnx",
        "model.onnx.data",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert (files / "LICENSE").read_text() == LICENCE
    places = (str(Path(spec.model_path).parent), str(Path(torch.__file__).parent), "site-packages")
    for content in contents(files).values():
        assert not any(place.encode() in content for place in places)
    (stored,) = onnx_folder.stored(files)
    assert stored.name == "float32"
    assert stored.size_bytes == 4 * stored.parameters
    whole = sum(each.numel() for each in load_base(spec.model_path, torch.float32).parameters())
    assert stored.parameters == pytest.approx(
        whole, rel=0.005
    )  # equal norms are one, and there are constants


@pytest.mark.slow
def test_other_weights_beside_the_graph_are_refused(
    spec: ExportSpec, files: Path, tmp_path: Path
) -> None:
    for name, content in contents(files).items():
        (tmp_path / name).write_bytes(content)
    weights = np.fromfile(tmp_path / "model.onnx.data", np.float32)
    (weights * 1.5).tofile(tmp_path / "model.onnx.data")
    with pytest.raises(ParityFailed, match=r"the KL divergence is .*; first, after \d+ tokens of"):
        parity(spec, tmp_path)


def test_a_graph_whose_weights_were_lost_cannot_be_loaded(
    spec: ExportSpec, files: Path, tmp_path: Path
) -> None:
    for name, content in contents(files).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "model.onnx.data").unlink()
    with pytest.raises(
        Exception, match=r"model\.onnx\.data"
    ):  # onnxruntime's own, of no public type
        onnx_answers(tmp_path, questions_of(spec))


@pytest.mark.slow
def test_linear_layers_in_8_bits_are_within_their_bound(tmp_path: Path) -> None:
    base = make_architecture(tmp_path / "base", "gpt2")  # whose layers are no plain products
    spec = ExportSpec(
        version_path=str(base),
        model_path=str(base),
        adapter=False,
        format=ExportFormat.ONNX,
        weight_type=WeightType.INT8,
        model_name="Small",
    )
    files = tmp_path / "files"
    files.mkdir()
    onnx_folder.write(spec, files)
    found = parity(spec, files, bounds_of(WeightType.INT8))
    assert 1e-10 < found.kl_divergence < EXACT.kl_divergence
    linear, whole = onnx_folder.stored(files)
    assert (linear.name, linear.tensors, whole.name) == ("INT8", 4 * 3, "float32")
    assert linear.size_bytes == linear.parameters * (1 + 4 / 32)
    assert len(contents(files)["model.onnx.data"]) < linear.size_bytes + whole.size_bytes + 2**16
    assert not list(tmp_path.glob(".fp32*"))


@pytest.mark.slow
def test_a_graph_is_the_same_in_8_bits_each_time(
    spec: ExportSpec, files: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert quantise(files, tmp_path / name) == 7 * 3
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert set(one) == {"model.onnx", "model.onnx.data"}
    assert one == two
    for name, content in (contents(files) | one).items():
        (tmp_path / "two" / name).write_bytes(content)
    found = parity(spec, tmp_path / "two", bounds_of(WeightType.INT8))
    assert found.kl_divergence > 0


@pytest.mark.slow
def test_made_again_it_is_the_same_to_the_byte_and_proved_by_another_process(
    spec: ExportSpec, files: Path, tmp_path: Path
) -> None:
    (tmp_path / "export.json").write_text(spec.model_dump_json())
    assert run.main([str(tmp_path)]) == 0
    answer = json.loads((tmp_path / "result.json").read_bytes())
    outcome = ExportResult.model_validate(answer["result"])
    assert (outcome.dtype, outcome.bits_per_weight) == ("float32", 32.0)
    assert outcome.parity.kl_divergence < 1e-10
    made = contents(tmp_path / "files")
    assert {name: made[name] for name in contents(files)} == contents(files)


def test_weights_that_find_no_room_are_a_full_disk(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with (
            pytest.raises(DiskFull, match="graph"),
            disk_full_named(tmp_path / "graph"),
            short_writes_named(),
            (tmp_path / "weights").open("wb") as file,
        ):
            np.zeros(100_000).tofile(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
def test_a_model_that_has_no_graph_is_refused_by_name(tmp_path: Path) -> None:
    base = make_architecture(tmp_path / "base", "mixtral", layers=1)
    spec = ExportSpec(
        version_path=str(base),
        model_path=str(base),
        adapter=False,
        format=ExportFormat.ONNX,
        model_name="Mixed",
    )
    with pytest.raises(
        NotExportable, match=r"MixtralForCausalLM cannot be written as ONNX: .*grouped_mm"
    ):
        onnx_folder.write(spec, tmp_path)


def test_what_is_missing_is_said_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ExportSpec(
        version_path=str(tmp_path),
        model_path=str(tmp_path),
        adapter=True,
        format=ExportFormat.ONNX,
        model_name="None",
    )
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ExporterUnavailable) as caught:
        onnx_folder.write(spec, tmp_path)
    assert caught.value.message == "ONNX needs onnxscript, which the worker does not have."
    assert caught.value.remedy is not None
    assert "tunery[onnx]" in caught.value.remedy
