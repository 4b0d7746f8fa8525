"""A child process that plays a script instead of training, inspecting or exporting.

Started as `scripted_child.py MODULE ARGUMENTS --lifeline`. `script.json` holds one list of steps for
each start; the last is played again from then on. `starts` counts the starts, a line of pid each.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path


def main(module: str, arguments: list[str]) -> None:
    work, home = _folders(module, arguments)
    with (home / "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    count = len((home / "starts").read_text().splitlines())
    scripts = json.loads((home / "script.json").read_text())
    threading.Thread(target=_honour_lifeline, daemon=True).start()
    play(scripts[min(count, len(scripts)) - 1], work, home)


def _folders(module: str, arguments: list[str]) -> tuple[Path, Path]:
    """Where the child works, and where its script lies."""
    if module == "training.run":
        return Path(arguments[0]), Path(arguments[0])
    if module == "training.models.inspection":
        return Path(arguments[1]).parent, Path(arguments[0])
    if module == "training.data.ingest.run":
        spec = json.loads((Path(arguments[0]) / "ingest.json").read_text())
        return Path(arguments[0]), Path(spec["source"]["path"]).parent
    if module == "training.evaluation.run":
        spec = json.loads((Path(arguments[0]) / "evaluation.json").read_text())
        return Path(arguments[0]), Path(spec["run"]["dataset_path"]).parent
    spec = json.loads((Path(arguments[0]) / "export.json").read_text())
    return Path(arguments[0]), Path(spec["version_path"])


def _honour_lifeline() -> None:
    sys.stdin.buffer.read()
    time.sleep(0.2)
    os._exit(3)


def play(steps: list[list[object]], work: Path, home: Path) -> None:
    for verb, *values in steps:
        STEPS[str(verb)](work, home, *values)


def say(work: Path, _home: Path, *lines: str) -> None:
    with (work / "events.jsonl").open("a") as file:
        file.write("".join(line + "\n" for line in lines))


def tear(work: Path, _home: Path, text: str) -> None:
    with (work / "events.jsonl").open("a") as file:
        file.write(text)


def sleep(_work: Path, _home: Path, seconds: float) -> None:
    time.sleep(seconds)


def leave(_work: Path, _home: Path, code: int) -> None:
    sys.stdout.flush()
    os._exit(code)


def die(_work: Path, _home: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def abort(_work: Path, _home: Path) -> None:
    os.abort()


def touch(work: Path, _home: Path, name: str) -> None:
    (work / name).write_text("half")


def hang(_work: Path, _home: Path) -> None:
    while True:
        time.sleep(60)


def ignore_term(_work: Path, _home: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def on_term(work: Path, home: Path, steps: list[list[object]]) -> None:
    def stop(*_: object) -> None:
        play(steps, work, home)
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)


def spawn(_work: Path, home: Path) -> None:
    grandchild = subprocess.Popen(["sleep", "300"])
    (home / "grandchild").write_text(str(grandchild.pid))


def heartbeat(work: Path, _home: Path, percent: float) -> None:
    """What a training process tells from its heartbeat's thread after one measurement."""
    import site  # the script itself starts without it, which is ten times as fast

    site.main()
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from training.events import Progress, serialise
    from training.progress import heartbeat as beating

    beating.PATIENCE_SECONDS = 1.0  # type: ignore[misc]  # else the test would take a minute

    def emit(event: Progress) -> None:
        say(work, _home, serialise(event).decode().rstrip("\n"))

    beats = beating.Heartbeat(emit)
    beats.__enter__()
    beats.measured(
        Progress(
            progress=percent,
            epoch=1,
            total_epochs=2,
            step=3,
            total_steps=10,
            loss=1.0,
            accuracy=0.5,
            learning_rate=1e-4,
            gradient_norm=1.0,
            tokens_per_second=50.0,
            estimated_time_remaining=60.0,
        )
    )


def pulse(work: Path, _home: Path, seconds: float) -> None:
    """Advance for so long without a word."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        (work / "pulse").touch()
        time.sleep(0.1)


def await_request(work: Path, _home: Path) -> None:
    """Wait until a checkpoint is asked for, and take the request."""
    while not (work / "save-requested").exists():
        time.sleep(0.02)
    (work / "save-requested").unlink()


def hold(work: Path, _home: Path, tokens: int, is_least: bool) -> None:
    """Note so many tokens held at once, and take up what a worker bade."""
    path = work / "token-budget.json"
    limit = json.loads(path.read_text())["limit"] if path.exists() else None
    path.write_text(json.dumps({"tokens": tokens, "is_least": is_least, "limit": limit}))


def environment(_work: Path, home: Path) -> None:
    (home / "environment.json").write_text(json.dumps(dict(os.environ)))


def utter(_work: Path, _home: Path, text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def answer(work: Path, _home: Path, content: object) -> None:
    (work / "result.json").write_text(json.dumps(content))


def progress(work: Path, _home: Path, percent: float) -> None:
    (work / "progress").write_text(str(percent))


STEPS = {
    "say": say,
    "tear": tear,
    "sleep": sleep,
    "exit": leave,
    "die": die,
    "abort": abort,
    "touch": touch,
    "hang": hang,
    "ignore_term": ignore_term,
    "on_term": on_term,
    "spawn": spawn,
    "heartbeat": heartbeat,
    "pulse": pulse,
    "await_request": await_request,
    "hold": hold,
    "environment": environment,
    "print": utter,
    "answer": answer,
    "progress": progress,
}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
