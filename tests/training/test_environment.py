"""What a process that trains is started with."""

import pytest

from training.environment import process_environment


def test_the_threads_are_bounded_and_wait_without_burning_a_core() -> None:
    environment = process_environment(3)
    assert (environment["OMP_NUM_THREADS"], environment["MKL_NUM_THREADS"]) == ("3", "3")
    assert environment["OMP_WAIT_POLICY"] == "passive"


@pytest.mark.parametrize(
    ("own", "passed_on"),
    [
        ("", "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.check=3", "glibc.malloc.check=3:glibc.malloc.hugetlb=1"),
        ("glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0"),
    ],
)
def test_large_pages_are_asked_for_unless_somebody_has_spoken_of_them(
    own: str, passed_on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", own)
    assert process_environment(1)["GLIBC_TUNABLES"] == passed_on
