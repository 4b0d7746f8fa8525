"""Datasets by hub id: which files are taken, how they get here, and what is refused."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from tests.training.data.fake_hub import COMMIT, CONVERTED, Hub, Repository, running_hub
from tests.training.data.files import jsonl, parquet, problems, values
from training.data.containers.reading import Container
from training.data.containers.rows import Place
from training.data.containers.shards import open_shards
from training.data.hub import patience
from training.data.hub.errors import HubUnavailable
from training.data.hub.fetching import HubFiles, fetch
from training.data.hub.layout import converted_layout, layout_of
from training.data.hub.plan import HubFile, HubSplit, Plan, keep_plan, kept_plan
from training.data.ingest.run import ingest
from training.data.ingest.spec import HubDownload, HubSource, IngestSpec
from training.errors import SourceUnreadable
from training.progress import telling

ROWS = [{"text": f"row {number} " + "x" * 200} for number in range(60)]
SHARDS = {
    "data/train-00000-of-00002.parquet": parquet(ROWS[:30]),
    "data/train-00001-of-00002.parquet": parquet(ROWS[30:]),
    "data/test-00000-of-00001.parquet": parquet(ROWS[:1]),
    "README.md": b"# Rows",
    "build.py": b"raise SystemExit('this must never run')",
}
REPOSITORIES = {
    "ann/shards": Repository(SHARDS),
    "ann/named": Repository(
        {"en/a.jsonl": jsonl(ROWS[0]), "en/b.jsonl": jsonl(ROWS[1]), "de/a.jsonl": jsonl(ROWS[2])},
        {
            "configs": [
                {"config_name": "en", "data_files": [{"split": "all", "path": "en/*.jsonl"}]},
                {"config_name": "de", "data_files": "de/*"},
            ]
        },
    ),
    "ann/scripted": Repository(
        {"scripted.py": b"raise SystemExit", "rows.zip": b"PK"},
        converted={
            "default/train/0000.parquet": parquet(ROWS[:2]),
            "default/partial-test/0000.parquet": parquet(ROWS[2:3]),
        },
    ),
    "ann/unconverted": Repository({"rows.zip": b"PK"}),
    "ann/gated": Repository({"train.jsonl": jsonl(*ROWS)}, gated_for="hf_secret"),
    "ann/closed": Repository({"train.parquet": parquet(ROWS)}, gated_for="hf_secret"),
}
WANTED = HubSplit("ann/shards", "train")
LIMIT = 10**6


class Clock:
    """Time that passes where it is waited for."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    return clock


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[Hub]:
    del clock  # nobody waits in earnest
    with running_hub(REPOSITORIES) as hub:
        url = "{endpoint}/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            url.replace("{endpoint}", hub.endpoint),
        )
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def contents(found: HubFiles) -> list[bytes]:
    return [path.read_bytes() for path in found.paths]


def stopping_at(size_bytes: int) -> Callable[[int, int], None]:
    """A progress that ends the process once so much is here."""

    def stop(done: int, _total: int) -> None:
        if done >= size_bytes:
            raise InterruptedError

    return stop


def refused(wanted: HubSplit, folder: Path, max_bytes: int = LIMIT) -> tuple[str, str]:
    with pytest.raises(HubUnavailable) as error:
        fetch(wanted, folder, max_bytes=max_bytes)
    assert error.value.remedy
    return error.value.code, f"{error.value.message} {error.value.remedy}"


def test_the_shards_of_a_split_are_fetched_at_one_commit_and_read_in_order(
    hub: Hub, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    found = fetch(
        WANTED,
        tmp_path,
        max_bytes=LIMIT,
        progress=lambda done, total: told.append((done, total)),
    )
    plan, names = found.plan, [file.name for file in found.plan.files]
    assert (plan.config, plan.commit, plan.is_partial) == ("default", COMMIT, False)
    assert names == [name for name in SHARDS if "train" in name]
    assert contents(found) == [SHARDS[name] for name in names]
    total = sum(len(SHARDS[name]) for name in names)
    assert plan.size_bytes == total
    assert told[0] == (0, total)
    assert told[-1] == (total, total)
    assert told == sorted(told)
    shards = open_shards(list(zip(names, found.paths, strict=True)))
    assert shards.container is Container.PARQUET
    assert values(shards.rows) == list(enumerate(ROWS, 1))
    assert shards.places.find(31) == Place("data/train-00001-of-00002.parquet", 1)
    assert not [request for request in hub.requests if "build.py" in request]


@pytest.mark.usefixtures("hub")
def test_a_configuration_is_chosen_by_name_and_its_split_by_the_card(tmp_path: Path) -> None:
    found = fetch(HubSplit("ann/named", "all", config="en"), tmp_path, max_bytes=LIMIT)
    assert [file.name for file in found.plan.files] == ["en/a.jsonl", "en/b.jsonl"]
    found = fetch(HubSplit("ann/named", "train", config="de"), tmp_path, max_bytes=LIMIT)
    assert [file.name for file in found.plan.files] == ["de/a.jsonl"]


@pytest.mark.usefixtures("hub")
def test_what_only_a_script_can_read_is_taken_as_the_hub_converted_it(tmp_path: Path) -> None:
    found = fetch(HubSplit("ann/scripted", "train"), tmp_path, max_bytes=LIMIT)
    assert (found.plan.commit, found.plan.is_partial) == (CONVERTED, False)
    assert [file.name for file in found.plan.files] == ["default/train/0000.parquet"]
    assert fetch(HubSplit("ann/scripted", "test"), tmp_path, max_bytes=LIMIT).plan.is_partial


def test_a_download_goes_on_where_it_broke_and_where_its_process_stopped(
    hub: Hub, tmp_path: Path
) -> None:
    first, second = (name for name in SHARDS if "train" in name)
    hub.break_after = 640

    def stop(done: int, _total: int) -> None:
        if done > len(SHARDS[first]) + 100:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fetch(WANTED, tmp_path, max_bytes=LIMIT, progress=stop)
    path = f"/datasets/ann/shards/resolve/{COMMIT}"
    assert hub.requests[1:] == [f"{path}/{first}", f"{path}/{first} bytes=640-", f"{path}/{second}"]
    [half] = tmp_path.glob("00001.*.partial")
    half.write_bytes(
        SHARDS[second][:300]
    )  # as a process leaves it that is killed between two blocks
    told: list[int] = []
    found = fetch(WANTED, tmp_path, max_bytes=LIMIT, progress=lambda done, _: told.append(done))
    assert hub.requests[4:] == [
        f"{path}/{second} bytes=300-"
    ]  # nor is the revision looked up again
    assert contents(found) == [SHARDS[first], SHARDS[second]]
    assert told == sorted(told)
    assert told[-1] == found.plan.size_bytes


def test_a_stopped_download_begins_anew_where_its_commit_is_gone(hub: Hub, tmp_path: Path) -> None:
    hub.break_after = 640
    with pytest.raises(InterruptedError):
        fetch(WANTED, tmp_path, max_bytes=LIMIT, progress=stopping_at(600))
    hub.commit = "3" * 40
    hub.repositories = {"ann/shards": Repository({"train.jsonl": jsonl(ROWS[0])})}
    found = fetch(WANTED, tmp_path, max_bytes=LIMIT)
    assert (found.plan.commit, contents(found)) == (hub.commit, [jsonl(ROWS[0])])
    assert {path.name for path in tmp_path.iterdir()} == {"00000", "lock", "plan.json"}
    other = WANTED._replace(split="test")
    assert refused(other, tmp_path)[0] == "HUB_SPLIT_UNKNOWN"  # what is there is of another split


def test_a_hub_without_ranges_sends_a_broken_file_again_but_not_for_ever(
    hub: Hub, tmp_path: Path, clock: Clock
) -> None:
    hub.knows_ranges, hub.break_after = False, 640
    found = fetch(WANTED, tmp_path / "once", max_bytes=LIMIT)
    assert contents(found) == [SHARDS[file.name] for file in found.plan.files]

    def break_again(_done: int, _total: int) -> None:
        hub.break_after = 640

    clock.now = 0.0
    with pytest.raises(HubUnavailable) as error:
        fetch(WANTED, tmp_path / "always", max_bytes=LIMIT, progress=break_again)
    assert (error.value.code, clock.now) == ("HUB_OUT_OF_REACH", 300.0)


def test_what_comes_is_compared_and_once_fetched_again(hub: Hub, tmp_path: Path) -> None:
    hub.damaged = 1
    found = fetch(WANTED, tmp_path / "once", max_bytes=LIMIT)
    assert contents(found) == [SHARDS[file.name] for file in found.plan.files]
    hub.damaged = 2
    code, words = refused(HubSplit("ann/named", "train", config="de"), tmp_path / "twice")
    assert code == "HUB_FILE_DIFFERS"  # git's own sum is compared as well
    assert "de/a.jsonl" in words


@pytest.mark.parametrize(
    ("status", "headers", "waited"),
    [
        (503, {}, 1.0),
        (429, {"Retry-After": "120"}, 120.0),
        (429, {"RateLimit": '"resolvers";r=0;t=55'}, 55.0),
    ],
)
def test_a_hub_that_is_busy_is_asked_again_when_it_said(
    hub: Hub,
    tmp_path: Path,
    clock: Clock,
    *,
    status: int,
    headers: dict[str, str],
    waited: float,
) -> None:
    hub.refusals = [(status, headers)] * 2
    beats: list[int] = []
    found = fetch(WANTED, tmp_path, max_bytes=LIMIT, progress=lambda done, _: beats.append(done))
    assert contents(found) == [SHARDS[file.name] for file in found.plan.files]
    assert clock.now == waited + max(2.0, waited if headers else 0.0)
    assert beats.count(0) > clock.now  # it is no hung process


def test_patience_has_an_end(hub: Hub, tmp_path: Path, clock: Clock) -> None:
    hub.refusals = [(502, {})] * 20
    code, words = refused(WANTED, tmp_path)
    assert (code, clock.now, len(hub.refusals)) == ("HUB_OUT_OF_REACH", 300.0, 9)
    assert "502" in words
    hub.refusals = [(429, {"Retry-After": "3600"})]
    assert refused(WANTED, tmp_path)[0] == "HUB_OUT_OF_REACH"
    hub.refusals = [(401, {"X-Error-Message": "Invalid credentials in Authorization header"})]
    code, words = refused(WANTED, tmp_path)
    assert code == "HUB_TOKEN_REFUSED"
    assert clock.now == 300.0


def test_the_token_stays_with_the_hub(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    wanted = HubSplit("ann/closed", "train")
    assert contents(fetch(wanted, tmp_path, max_bytes=LIMIT)) == [parquet(ROWS)]
    assert hub.requests[1:] == [f"/datasets/ann/closed/resolve/{COMMIT}/train.parquet"]


@pytest.mark.usefixtures("hub")
def test_a_gated_dataset_is_read_with_the_token_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, words = refused(HubSplit("ann/gated", "train"), tmp_path)
    assert code == "HUB_DATASET_GATED"
    assert "HF_TOKEN" in words
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert refused(HubSplit("ann/gated", "train"), tmp_path)[0] == "HUB_DATASET_GATED"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    found = fetch(HubSplit("ann/gated", "train"), tmp_path, max_bytes=LIMIT)
    assert contents(found) == [jsonl(*ROWS)]


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("wanted", "code", "words"),
    [
        (HubSplit("ann/none", "train"), "HUB_DATASET_NOT_FOUND", "ann/none"),
        (HubSplit("not an id", "train"), "HUB_DATASET_NOT_FOUND", "not an id"),
        (HubSplit("ann/shards", "train", revision="v9"), "HUB_REVISION_NOT_FOUND", "v9"),
        (HubSplit("ann/shards", "dev"), "HUB_SPLIT_UNKNOWN", "It has test, train."),
        (HubSplit("ann/named", "train"), "HUB_CONFIG_UNKNOWN", "Choose one of en, de"),
        (HubSplit("ann/named", "train", config="fr"), "HUB_CONFIG_UNKNOWN", "configuration fr"),
        (HubSplit("ann/unconverted", "train"), "HUB_FILES_UNREADABLE", "no Parquet"),
    ],
)
def test_what_is_not_there_is_refused_by_name(
    tmp_path: Path, wanted: HubSplit, code: str, words: str
) -> None:
    found, said = refused(wanted, tmp_path)
    assert found == code
    assert words in said
    assert not list(tmp_path.rglob("*.parquet"))


def test_what_is_too_large_is_refused_before_a_byte_is_fetched(hub: Hub, tmp_path: Path) -> None:
    code, words = refused(HubSplit("ann/shards", "train"), tmp_path, max_bytes=1000)
    assert code == "HUB_DATASET_TOO_LARGE"
    assert "at most 1,000" in words
    assert not [request for request in hub.requests if "/resolve/" in request]


def test_what_the_disk_has_no_room_for_is_refused_before_a_byte_is_fetched(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = sum(len(SHARDS[name]) for name in SHARDS if "train" in name)
    room = shutil.disk_usage(tmp_path)._replace(free=total // 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    code, words = refused(WANTED, tmp_path)
    assert code == "DISK_FULL"
    assert f"{total:,} bytes, and only {total // 2:,} are free" in words
    assert not [request for request in hub.requests if "/resolve/" in request]


@pytest.mark.usefixtures("hub")
def test_a_hub_out_of_reach_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert refused(HubSplit("ann/shards", "train"), tmp_path)[0] == "HUB_OUT_OF_REACH"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert refused(HubSplit("ann/shards", "train"), tmp_path)[0] == "HUB_OUT_OF_REACH"


@pytest.mark.parametrize(
    ("paths", "configs", "layout"),
    [
        (["a.jsonl"], None, {"default": {"train": ["a.jsonl"]}}),
        (
            ["x-train.csv", "x_dev.csv", "test/1.csv", "data2test1.csv"],
            None,
            {
                "default": {
                    "test": ["data2test1.csv", "test/1.csv"],
                    "train": ["x-train.csv"],
                    "validation": ["x_dev.csv"],
                }
            },
        ),
        (
            ["a.json", "b.parquet", "dataset_infos.json"],
            None,
            {"default": {"train": ["b.parquet"]}},
        ),
        (
            ["a.jsonl.zst", "notes.txt", ".hidden.json"],
            None,
            {"default": {"train": ["a.jsonl.zst"]}},
        ),
        (
            ["x/a.csv", "x/deep/b.csv", "c.csv"],
            [
                {"config_name": "one", "data_dir": "x"},
                {"config_name": "two", "data_files": {"train": ["*.csv"], "all": "**/*.csv"}},
                {"config_name": "none", "data_files": "missing-*"},
                "no configuration",
            ],
            {
                "one": {"train": ["x/a.csv", "x/deep/b.csv"]},
                "two": {"train": ["c.csv"], "all": ["c.csv", "x/a.csv", "x/deep/b.csv"]},
            },
        ),
        (["build.py", "rows.zip"], [], {}),
    ],
)
def test_splits_are_told_by_the_card_or_by_names(
    paths: list[str], configs: object, layout: dict[str, dict[str, list[str]]]
) -> None:
    assert layout_of(paths, configs) == layout


def test_the_converted_branch_names_configuration_and_split_by_folders() -> None:
    paths = ["en/train/0001.parquet", "en/train/0000.parquet", "en/partial-test/0000.parquet", "x"]
    assert converted_layout(paths) == {
        "en": {"train": paths[1::-1], "test": ["en/partial-test/0000.parquet"]}
    }


def test_a_bad_shard_and_a_bad_row_are_named_by_file_and_line(tmp_path: Path) -> None:
    held = {
        "a.jsonl": jsonl(ROWS[0]) + b"{bad\n" + jsonl(ROWS[1]),
        "b.jsonl": b"\x00\x01\x02",
        "c.jsonl": jsonl(ROWS[2]),
    }
    for name, content in held.items():
        (tmp_path / name).write_bytes(content)
    contents = open_shards([(name, tmp_path / name) for name in held])
    rows = list(contents.rows)
    assert values(rows) == [(1, ROWS[0]), (3, ROWS[1]), (5, ROWS[2])]
    assert problems(rows) == [(2, "MALFORMED_JSON"), (4, "CONTAINER_UNKNOWN")]
    assert "a.jsonl, line 2: This is not JSON" in str(rows[1])
    assert "b.jsonl, line 1: The file cannot be read" in str(rows[3])
    with pytest.raises(SourceUnreadable):
        next(open_shards([("b.jsonl", tmp_path / "b.jsonl")]).rows)


@pytest.mark.usefixtures("hub")
def test_fetching_and_reading_are_told_as_one_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setattr(telling, "LOOK_ROWS", 1)
    monkeypatch.setattr(telling.Teller, "tell", lambda _, percent: told.append(percent))
    source = HubSource(id="ann/shards", split="train", max_bytes=LIMIT)
    download = HubDownload(wanted=source, folder=str(tmp_path / "download"))
    made = ingest(IngestSpec(source=download), tmp_path)
    assert (made.rows, made.container) == (60, Container.PARQUET)
    assert made.hub == source.model_copy(update={"config": "default", "commit": COMMIT})
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 100.0)
    fetched = [percent for percent in told if percent <= 50]
    assert fetched[-1] == 50.0
    assert len(told) - len(fetched) == 60
    assert {path.name for path in tmp_path.iterdir()} == {
        "pulse",
        "records.jsonl",
    }


def test_a_plan_is_kept_whatever_a_stranger_named(tmp_path: Path) -> None:
    plan = Plan(
        wanted=HubSplit("ann/strange", "train"),
        config="a\0\ud800",
        commit="c" * 40,
        is_partial=False,
        files=(HubFile(name="\udfff.jsonl", size_bytes=1),),
    )
    keep_plan(plan, tmp_path)
    assert kept_plan(tmp_path) == plan
