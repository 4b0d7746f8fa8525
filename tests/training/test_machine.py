"""What a machine offers, found out without torch."""

import pytest
import torch

from training.devices.machine import Machine, card_of, look, processor_has_bfloat16


@pytest.mark.parametrize(
    ("described", "fast"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 amx_tile\n", True),
        ("flags\t\t: fpu amx_bf16\nbugs\t\t: spectre_v1\n", True),
        ("flags\t\t: fpu avx2 avx512f\nmodel name\t: avx512_bf16\n", False),
        ("Features\t: fp asimd bf16\n", False),
    ],
)
def test_instructions_for_bfloat16_are_found_in_what_linux_says(described: str, fast: bool) -> None:
    assert processor_has_bfloat16(described) is fast


def test_this_machine_is_described_as_torch_would() -> None:
    found = look((), threads=3)
    assert found is not None
    assert (found.device, found.threads) == ("cpu", 3)
    capabilities = torch.cpu.get_capabilities()
    named = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    assert found.bfloat16 is named
    assert found.available_bytes > 2**28


def test_without_a_compiler_no_kernels_of_our_own_are_counted_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    found = look((), threads=1)
    assert found is not None
    assert not found.compiles


@pytest.mark.parametrize(("answer", "bfloat16"), [("81079, 9.0\n", True), ("15102, 7.5\n", False)])
def test_a_card_is_read_from_what_the_driver_says(answer: str, bfloat16: bool) -> None:
    free = int(answer.split(",")[0]) * 2**20
    assert card_of(answer, threads=4) == Machine(
        device="cuda", bfloat16=bfloat16, threads=4, available_bytes=free
    )


@pytest.mark.parametrize("answer", ["", "No devices were found\n", "[N/A], 8.6\n"])
def test_an_answer_without_figures_describes_no_card(answer: str) -> None:
    assert card_of(answer, threads=4) is None


def test_without_a_driver_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert look(("0",), threads=4) is None
