"""A GGUF file that is not the trained model is never offered: each known way to lose something."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, pre_tokenizers
from transformers import AutoTokenizer

from tests.tiny_model import make_architecture, make_tiny_model
from tests.training.gguf_files import (
    changed,
    needs_llama,
    parity,
    spec_of,
    with_sentencepiece,
    written,
)
from tests.training.jobs import qa_rows, run_here, write_job
from training.errors import ParityFailed
from training.export import errors, making, run
from training.export.bounds import EXACT, bounds_of
from training.export.gguf import exporter, vocabulary, writing
from training.export.gguf.errors import QuantisationFailed, WeightsOverflow
from training.export.gguf.naming import file_stem, safe_name
from training.export.parity import judge
from training.export.spec import ExportResult, WeightType
from training.files import damage
from training.templates.named import NamedTemplate, text_of

pytestmark = needs_llama

END = "<END_TURN>"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_architecture(tmp_path_factory.mktemp("gguf") / "llama", "llama")


def refused(model: Path, folder: Path, **changes: object) -> str:
    """Why a written file is not offered."""
    spec = spec_of(model, **changes)
    with pytest.raises(ParityFailed) as caught:
        judge(parity(spec, written(spec, folder / "files")), EXACT)
    return caught.value.message


def unwritten(model: Path, folder: Path, **changes: object) -> str:
    """Why no file is written, of which no part is left."""
    with pytest.raises(errors.NotExportable) as caught:
        written(spec_of(model, **changes), folder / "files")
    assert not list((folder / "files").iterdir())
    return caught.value.message


def test_text_that_is_split_otherwise_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "pre_tokenizer", lambda _: "llama-bpe")
    assert "its tokenizer gives other tokens; first, " in refused(model, tmp_path)


def test_a_way_to_split_text_that_llama_cpp_lacks_is_named(model: Path, tmp_path: Path) -> None:
    def resplit(name: str, *parts: pre_tokenizers.PreTokenizer) -> Path:
        folder = changed(model, tmp_path / name / "model")
        path = str(folder / "tokenizer.json")
        tokenizer = Tokenizer.from_file(path)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(parts))
        tokenizer.save(path)
        return folder

    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made_up = resplit("made-up", pre_tokenizers.Split(Regex(r"\w+|\W"), "isolated"), plain)
    found = unwritten(made_up, made_up.parent)
    assert found.startswith(
        "The model cannot be written as GGUF: llama.cpp does not know how its tokenizer splits text"
    )
    known = resplit("digits", pre_tokenizers.Digits(individual_digits=True), _splitting_bytes())
    files = written(spec_of(known), known.parent / "files")
    assert parity(spec_of(known), files).tokens_equal
    assert metadata(files, "tokenizer.ggml.pre") == "smollm"


def _splitting_bytes() -> pre_tokenizers.ByteLevel:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def metadata(files: Path, key: str) -> object:
    field = GGUFReader(next(files.glob("*.gguf"))).get_field(key)
    return None if field is None else field.contents()


def test_embeddings_that_were_not_resized_are_named(model: Path, tmp_path: Path) -> None:
    folder = changed(model, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<one>", "<two>"])
    tokenizer.save_pretrained(folder)
    rows = len(tokenizer) - 2
    assert (
        f"its token '<two>' has the id {rows + 1}, but the embedding has {rows} rows"
        in unwritten(folder, tmp_path)
    )


def test_an_embedding_with_rows_to_spare_is_the_same_model(model: Path, tmp_path: Path) -> None:
    folder = changed(model, tmp_path / "model", config={"vocab_size": 384 + 8})
    weights = load_file(folder / "model.safetensors")
    rows = weights["model.embed_tokens.weight"]
    weights["model.embed_tokens.weight"] = torch.cat([rows, rows[:8]])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    files = written(spec_of(folder), tmp_path / "files")
    assert judge(parity(spec_of(folder), files), EXACT).tokens_equal


def test_rows_without_a_token_get_a_name_that_none_has() -> None:
    assert vocabulary._free(7, set()) == "[PAD7]"
    assert vocabulary._free(7, {"[PAD7]"}) == "[[PAD7]]"


def test_a_lost_template_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = writing.ends
    monkeypatch.setattr(writing, "ends", lambda *given: ends(*given)._replace(template=None))
    assert "its chat template gives other texts; first, fixed text 1" in refused(model, tmp_path)


def custom_end(model: Path, folder: Path, *, declared: bool) -> Path:
    """A copy whose turns end with a token of its own, which the tokenizer does not call its end.

    llama.cpp knows well-known ones by their names, which would hide that it is told of no other.
    """
    copy = changed(model, folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        path = copy / name
        path.write_text(path.read_text().replace("<|im_end|>", END))
    path = copy / "tokenizer_config.json"
    content = json.loads(path.read_bytes()) | {"eos_token": "<|endoftext|>"}
    path.write_text(json.dumps(content))
    ends = {"eos_token_id": [2] if declared else 0}
    for stem in ("generation_config", "config"):
        path = copy / f"{stem}.json"
        path.write_text(json.dumps(json.loads(path.read_bytes()) | ends))
    return copy


def test_a_stop_token_of_the_generation_config_alone_stops_the_file(
    model: Path, tmp_path: Path
) -> None:
    custom = custom_end(model, tmp_path / "model", declared=True)
    files = written(spec_of(custom), tmp_path / "files")
    assert judge(parity(spec_of(custom), files), EXACT).stop_token_respected
    assert metadata(files, "tokenizer.ggml.eos_token_id") == 2
    assert f'PARAMETER stop "{END}"' in (files / "Modelfile").read_text()


def test_a_wrong_stop_token_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    custom = custom_end(model, tmp_path / "model", declared=True)
    ends = writing.ends
    monkeypatch.setattr(writing, "ends", lambda *given: ends(*given)._replace(stops=[5]))
    assert "does not stop at the token that ends a turn" in refused(custom, tmp_path)


def test_a_wrong_bos_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = with_sentencepiece(tmp_path / "model", "llama", "never")
    ends = writing.ends
    monkeypatch.setattr(writing, "ends", lambda *given: ends(*given)._replace(adds_bos=False))
    assert "its tokenizer gives other tokens; first, ''" in refused(model, tmp_path)


def test_a_bos_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    model = with_sentencepiece(tmp_path / "model", "llama", "never")
    template = model / "chat_template.jinja"
    assert template.read_text().startswith("{{ bos_token }}{%")
    template.write_text("{{ bos_token }}" + template.read_text())
    assert "its prompts begin with more than one BOS token" in refused(model, tmp_path)


def test_a_template_is_told_that_there_is_no_bos(model: Path, tmp_path: Path) -> None:
    none = changed(model, tmp_path / "model", tokenizer_config={"bos_token": None})
    template = text_of(NamedTemplate.ALPACA)
    assert "{{- bos_token or '' -}}" in template
    (none / "chat_template.jinja").write_text(template)
    files = written(spec_of(none), tmp_path / "files")
    assert judge(parity(spec_of(none), files), EXACT).template_equal


def test_a_blank_before_a_text_alone_needs_chats_that_begin_with_a_special_token(
    tmp_path: Path,
) -> None:
    model = with_sentencepiece(tmp_path / "model", "llama", "first")
    files = written(spec_of(model), tmp_path / "whole")
    assert "Begin a text that is no chat with a blank" in (files / "README.md").read_text()
    template = model / "chat_template.jinja"
    template.write_text(template.read_text().removeprefix("{{ bos_token }}"))
    assert "puts a blank before a text and none after a special token" in unwritten(model, tmp_path)


@pytest.mark.slow
def test_an_adapter_that_was_not_merged_is_refused(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base")
    job = write_job(tmp_path / "job", base, qa_rows(12), learning_rate=1e-2)
    run_here(job)
    spec = spec_of(base, version_path=str(job / "model"), adapter=True)
    merged = judge(parity(spec, written(spec, tmp_path / "files")), EXACT)
    assert merged.kl_divergence < 1e-9
    untuned = written(spec_of(base), tmp_path / "untuned")
    with pytest.raises(ParityFailed, match="the KL divergence is"):
        judge(parity(spec, untuned), EXACT)


def test_a_hostile_name_changes_nothing_of_how_the_file_is_read(
    model: Path, tmp_path: Path
) -> None:
    name = 'my Phi-3 "distilled"\n../../llama\u202e v1'
    spec = spec_of(model, model_name=name)
    files = written(spec, tmp_path / "files")
    assert judge(parity(spec, files), EXACT).tokens_equal
    assert metadata(files, "general.name") == "my phi 3 distilled .. .. llama v1"
    assert metadata(files, "tunery.model_name") == name
    assert [each.name for each in files.glob("*.gguf")] == [
        "my-phi-3-distilled-..-..-llama-v1-F32.gguf"
    ]
    assert (safe_name("\n"), file_stem("…/")) == ("model", "model")


def test_rows_that_do_not_fit_the_blocks_are_said_to_be_stored_otherwise(
    model: Path, tmp_path: Path
) -> None:
    files = written(spec_of(model, weight_type=WeightType.Q4_K_M), tmp_path / "files")
    assert {each.name: each.tensors for each in exporter.stored(files)} == {
        "Q5_0": 19,
        "Q8_0": 3,
        "F32": 7,
    }
    assert "Some rows do not fit into the blocks" in (files / "README.md").read_text()


@pytest.mark.parametrize(
    ("architecture", "config", "reason"),
    [
        ("mixtral", {}, "its architecture is mixtral, and known are gemma2, gpt2, llama"),
        ("llama", {"hidden_act": "gelu"}, "its activation is gelu"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "by the number of the layer"),
        ("gemma2", {"query_pre_attn_scalar": 64}, "query_pre_attn_scalar is 64, and llama.cpp"),
        (
            "qwen2",
            {"rope_parameters": {"rope_theta": 1e4, "rope_type": "dynamic", "factor": 2.0}},
            "its rotary positions are stretched by dynamic",
        ),
        (
            "llama",
            {
                "rope_parameters": {
                    "rope_theta": 1e4,
                    "rope_type": "yarn",
                    "factor": 2.0,
                    "attention_factor": 1.5,
                }
            },
            "its yarn sets attention_factor",
        ),
    ],
)
def test_what_llama_cpp_computes_otherwise_is_named(
    tmp_path: Path, architecture: str, config: dict[str, object], reason: str
) -> None:
    model = make_architecture(tmp_path / "base", architecture)
    assert reason in unwritten(changed(model, tmp_path / "model", config=config), tmp_path)


def test_a_sliding_window_bounds_the_length_that_the_file_is_good_for(tmp_path: Path) -> None:
    model = make_architecture(tmp_path / "model", "mistral")
    files = written(spec_of(model), tmp_path / "files")
    assert metadata(files, "llama.context_length") == 32


def test_weights_beyond_half_precision_are_named(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][3, 5] = 1e5
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsOverflow, match=r"blk\.0\.ffn_up\.weight holds 1e\+05"):
        written(spec_of(model, weight_type=WeightType.F16), tmp_path / "files")


@pytest.mark.parametrize("weight_type", [WeightType.F16, WeightType.Q4_K_M])
def test_a_file_made_again_is_the_same_to_the_byte(
    model: Path, tmp_path: Path, weight_type: WeightType
) -> None:
    spec = spec_of(model, weight_type=weight_type)
    first = written(spec, tmp_path / "first")
    again = written(spec, tmp_path / "again")
    assert sorted(each.name for each in first.iterdir()) == [
        "Modelfile",
        "README.md",
        f"tuned-{weight_type}.gguf",
    ]
    for path in first.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()
        assert str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.slow
def test_an_export_is_made_by_processes_that_know_its_files_alone(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base")
    job = write_job(tmp_path / "job", base, qa_rows(12), learning_rate=1e-2)
    run_here(job)
    spec = spec_of(
        base,
        version_path=str(job / "model"),
        adapter=True,
        weight_type=WeightType.Q8_0,
        job_path=str(job),
    )
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "export.json").write_text(spec.model_dump_json())
    assert run.main([str(folder)]) == 0
    result = ExportResult.model_validate(
        json.loads((folder / "result.json").read_bytes())["result"]
    )
    assert (result.dtype, result.parity.job_rows) == ("Q8_0", 2)
    assert result.parity.kl_divergence < 1e-2
    assert damage(folder / "files") is None
    assert sorted(each.name for each in folder.iterdir() if each.name.startswith(".")) == []


@pytest.mark.slow
def test_a_fault_that_few_bits_would_hide_is_found_before_they_are_taken(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(folder: Path, path: Path, *arguments: Any) -> None:
        other = changed(folder, tmp_path / path.parent.name, config={"rms_norm_eps": 1e-3})
        writing.write_file(other, path, *arguments)

    monkeypatch.setattr(exporter, "write_file", faulty)
    spec = spec_of(model, weight_type=WeightType.Q4_0)
    found = parity(spec, written(spec, tmp_path / "alone" / "files"))
    assert judge(found, bounds_of(WeightType.Q4_0)).kl_divergence > 1e-6
    (tmp_path / "export").mkdir()
    with pytest.raises(ParityFailed, match=r"KL divergence is .*, above 1e-08"):
        making.make(spec, tmp_path / "export")


def test_what_the_quantiser_says_is_told(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(b"GGUF and nothing else")
    with pytest.raises(QuantisationFailed) as caught:
        exporter._quantise(whole, tmp_path / "files" / "tuned.gguf", WeightType.Q8_0)
    assert caught.value.message.startswith("llama.cpp could not write Q8_0: ")
    assert whole.name in caught.value.message
    assert str(tmp_path) not in caught.value.message


def test_a_file_that_llama_cpp_cannot_load_is_named_without_its_folder(
    model: Path, tmp_path: Path
) -> None:
    spec = spec_of(model)
    files = written(spec, tmp_path / "files")
    (files / "tuned-F32.gguf").write_bytes(b"GGUF and nothing else")
    with pytest.raises(ValueError, match=r"Failed to load model from file: tuned-F32\.gguf"):
        parity(spec, files)
