"""The artifact store: whole files, and nothing outside its root."""

import resource
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from jobs.artifacts import Artifacts

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from jobs.artifacts import Artifacts
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
root = Path(sys.argv[1])
try:
    Artifacts(root).write(root / "file", b"x" * 5000)
except OSError as error:
    print(error.errno)
"""


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


def test_what_is_written_is_there_and_nothing_beside_it(artifacts: Artifacts) -> None:
    path = artifacts.records(uuid4())
    artifacts.write(path, b"first")
    artifacts.write(path, b"second")
    assert path.read_bytes() == b"second"
    assert [file.name for file in path.parent.iterdir()] == ["records.jsonl"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    outcome = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], check=True, capture_output=True
    )
    assert outcome.stdout == b"27\n"  # EFBIG
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000
    assert signal.getsignal(signal.SIGXFSZ) is not None


@pytest.mark.parametrize(
    "stored", ["../outside", "jobs/../../outside", "/etc/passwd", "jobs/../../artifacts-2/x"]
)
def test_a_stored_path_that_leads_out_is_refused(artifacts: Artifacts, stored: str) -> None:
    with pytest.raises(ValueError, match="leads out of the artifact store"):
        artifacts.resolve(stored)


def test_a_link_that_leads_out_is_refused(artifacts: Artifacts, tmp_path: Path) -> None:
    artifacts.root.mkdir()
    (artifacts.root / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="leads out of the artifact store"):
        artifacts.resolve("link/outside")


def test_a_path_is_stored_relative_and_found_again(artifacts: Artifacts) -> None:
    job_id = uuid4()
    path = artifacts.job(job_id) / "model"
    assert artifacts.relative(path) == f"jobs/{job_id}/model"
    assert artifacts.resolve(f"jobs/{job_id}/model") == path
    with pytest.raises(ValueError, match="subpath"):
        artifacts.relative(Path("/etc"))


def test_removing_frees_the_bytes_of_a_folder_and_takes_no_other(artifacts: Artifacts) -> None:
    one, other = uuid4(), uuid4()
    artifacts.write(artifacts.records(one), b"x" * 10)
    artifacts.write(artifacts.dataset(one) / "more" / "file", b"x" * 5)
    artifacts.write(artifacts.records(other), b"y")
    assert artifacts.remove(artifacts.dataset(one)) == 15
    assert artifacts.remove(artifacts.dataset(one)) == 0
    assert artifacts.records(other).read_bytes() == b"y"


def test_removing_outside_of_the_store_is_refused(artifacts: Artifacts, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    artifacts.root.mkdir()
    root = artifacts.root
    for folder in (tmp_path / "outside", root, root / ".." / "outside", root / "jobs" / ".."):
        with pytest.raises(ValueError, match="not a folder inside"):
            artifacts.remove(folder)
    assert (tmp_path / "outside").is_dir()
    assert root.is_dir()
