"""A tiny real model for every training test, and the shortest way to run one."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from tests.tiny_model import make_tiny_model
from tests.training.jobs import qa_rows, write_job

if TYPE_CHECKING:
    from tests.training.watched import Watched

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """peft calls a name that transformers has deprecated; neither is ours to mend."""
    for item in items:
        if HERE in item.path.parents:
            mark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")
            item.add_marker(mark)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hide CUDA from a test, its children and its fixtures of any scope: what is asserted here are a
    processor's figures, many of them to the bit. A card is for tests that are marked `gpu`."""
    if HERE not in item.path.parents or item.get_closest_marker("gpu"):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.setattr(torch.cuda, "is_available", lambda: False)
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """A tiny model gains nothing from threads, which wait badly for one another on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny-model")


@pytest.fixture
def make_job(tmp_path: Path, tiny_model: Path) -> Callable[..., Path]:
    """Writes a job folder: `make_job(name, rows=..., data_type=..., **hyperparameters)`."""

    def make(
        name: str = "job",
        *,
        rows: Sequence[object] | None = None,
        model: Path = tiny_model,
        **choices: object,
    ) -> Path:
        lines = qa_rows(12) if rows is None else rows
        return write_job(tmp_path / name, model, lines, **choices)

    return make


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> "Watched":
    """Sees the model of the run that the test makes."""
    from tests.training.watched import Watched  # transformers: only tests that train need it

    return Watched(monkeypatch)
