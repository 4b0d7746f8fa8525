"""Where a file begins and ends its texts: BOS, the tokens that generation stops at, the template."""

import re
from typing import Final, NamedTuple

from gguf import GGUFWriter
from transformers import GenerationConfig, PreTrainedTokenizerBase

from training.export.gguf.errors import NotInGguf

__all__ = ["Ends", "ends", "write_ends"]

_NAMES_END_TOKEN: Final = re.compile(r"\beos_token\b")

_NO_BOS: Final = "{% set bos_token = '' %}{{ bos_token }}"


class Ends(NamedTuple):
    """What of the tokenizer and the generation config says where texts begin and end."""

    stops: list[int]
    """The token of the end first, then the others at which generation stops."""
    bos: int | None
    adds_bos: bool
    adds_eos: bool
    padding: int | None
    unknown: int | None
    template: str | None


def ends(tokenizer: PreTrainedTokenizerBase, generation: GenerationConfig) -> Ends:
    """Found by trying, where a tokenizer has several ways to declare it. Raises `NotInGguf`
    where it puts other tokens around a text than GGUF can say."""
    template = _template(tokenizer)
    stops = _stops(tokenizer, generation, template)
    plain = _ids(tokenizer, "a", special=False)
    around = _ids(tokenizer, "a", special=True)
    places = [at for at in range(len(around)) if around[at : at + len(plain)] == plain]
    place = next(iter(places), len(around))
    before, behind = around[:place], around[place + len(plain) :]
    if len(before) > 1 or behind not in ([], [tokenizer.eos_token_id]):
        raise NotInGguf(f"its tokenizer puts the tokens {before} before and {behind} behind a text")
    return Ends(
        stops=stops,
        bos=before[0] if before else tokenizer.bos_token_id,
        adds_bos=bool(before),
        adds_eos=bool(behind),
        padding=tokenizer.pad_token_id,
        unknown=tokenizer.unk_token_id,
        template=template,
    )


def write_ends(found: Ends, writer: GGUFWriter) -> None:
    """Under the keys that llama.cpp reads. It has three places for stops."""
    places = (writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id)
    for add, token in zip(places, found.stops, strict=False):
        add(token)
    if found.bos is not None:
        writer.add_bos_token_id(found.bos)
    if found.padding is not None:
        writer.add_pad_token_id(found.padding)
    if found.unknown is not None:
        writer.add_unk_token_id(found.unknown)
    writer.add_add_bos_token(found.adds_bos)
    writer.add_add_eos_token(found.adds_eos)
    if found.template is not None:
        writer.add_chat_template(found.template)


def _template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The template, which is told that there is no BOS where there is none: llama.cpp takes some token
    for it in that case, and gives that to the template."""
    if tokenizer.chat_template is None:
        return None
    template = str(tokenizer.get_chat_template())
    if tokenizer.bos_token is None and "bos_token" in template:
        return _NO_BOS + template
    return template


def _stops(
    tokenizer: PreTrainedTokenizerBase, generation: GenerationConfig, template: str | None
) -> list[int]:
    """What the generation config declares, in its order, then the tokenizer's end token; that one
    first where the template writes it by its name, which llama.cpp takes from the first."""
    declared = generation.eos_token_id
    listed = declared if isinstance(declared, list) else [declared]
    own = tokenizer.eos_token_id
    named = template is not None and _NAMES_END_TOKEN.search(template) is not None
    ordered = [own, *listed] if named else [*listed, own]
    return list(dict.fromkeys(each for each in ordered if isinstance(each, int)))


def _ids(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])
