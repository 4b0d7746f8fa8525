"""A process's own figures, against what it is known to have done."""

import time
from mmap import mmap
from pathlib import Path

import pytest

from training.devices import process

MEGABYTE = 2**20


def test_memory_that_is_taken_and_given_back_shows() -> None:
    before = process.resident_bytes()
    with mmap(-1, 64 * MEGABYTE) as taken:
        taken.write(b"x" * (64 * MEGABYTE))
        held = process.resident_bytes() - before
        peak = process.peak_resident_bytes()
    assert held >= 63 * MEGABYTE
    assert peak >= before + 63 * MEGABYTE
    assert process.resident_bytes() < before + 32 * MEGABYTE
    assert process.peak_resident_bytes() >= peak


def test_more_is_available_than_is_held() -> None:
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert process.resident_bytes() < process.available_bytes() <= total


def test_processes_that_share_a_machine_have_equal_parts_of_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "_fields", lambda _path: {"MemAvailable": "3000000 kB"})
    monkeypatch.setattr(process, "control_group_limits", lambda *_arguments: [4_000_000_000])
    monkeypatch.setattr(process, "resident_bytes", lambda: 100_000_000)
    assert process.available_bytes() == 3_072_000_000 + 100_000_000
    assert process.available_bytes(2) == 1_536_000_000 + 100_000_000
    monkeypatch.setattr(process, "control_group_limits", lambda *_arguments: [2_000_000_000])
    assert process.available_bytes(2) == 1_000_000_000


@pytest.mark.parametrize(
    ("groups", "files", "limits"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "5000"}, [5000]),
        ("0::/gone\n", {"memory.max": "7000"}, [7000]),
        ("4:memory:/a\n2:cpu:/a\n", {"memory/a/memory.limit_in_bytes": "900"}, [900]),
        ("0::/\n", {}, []),
    ],
)
def test_the_limits_of_control_groups_are_found(
    groups: str, files: dict[str, str], limits: list[int], tmp_path: Path
) -> None:
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    assert list(process.control_group_limits(groups, tmp_path)) == limits


def test_a_process_knows_its_age() -> None:
    first = process.seconds_alive()
    time.sleep(0.05)
    assert 0 < first < 3600
    assert process.seconds_alive() - first == pytest.approx(0.05, abs=0.04)


def test_mapped_files_are_found_by_their_ending(tmp_path: Path) -> None:
    path = tmp_path / "some.weights"
    path.write_bytes(b"x" * MEGABYTE)
    with path.open("r+b") as file, mmap(file.fileno(), 0) as mapped:
        assert mapped.read() == b"x" * MEGABYTE
        (found,) = process.mappings_of(".weights")
    assert (found.end - found.start, found.resident_bytes) == (MEGABYTE, MEGABYTE)
    assert process.mappings_of(".weights") == []


@pytest.mark.parametrize(
    ("counts", "kills"),
    [("pgpgin 12\noom_kill 3\nswap_ra 0\n", 3), ("pgpgin 12\n", None), (None, None)],
)
def test_the_kernels_own_count_of_kills_is_read_where_it_keeps_one(
    counts: str | None, kills: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if counts is not None:
        (tmp_path / "vmstat").write_text(counts)
    monkeypatch.setattr(process, "_COUNTS", tmp_path / "vmstat")
    assert process.kernel_kills() == kills
