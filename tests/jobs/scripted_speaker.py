"""A warm child that answers as a test tells it: `python -P -m tests.jobs.scripted_speaker BYTES`.

It speaks the protocol of `training.serving.spec` and needs none of the libraries. The last message
says what happens; each answer names the process.
"""

import json
import os
import select
import sys
import time


def main() -> int:
    for line in iter(sys.stdin.readline, ""):
        if line.strip() == "abandon":
            continue
        asked = json.loads(line)
        told = asked["messages"][-1]["content"]
        if told == "crash":
            sys.stderr.write("Something broke\n")
            sys.stderr.flush()
            os._exit(3)
        if told == "hang":
            time.sleep(600)
        if told == "refuse":
            say(kind="Unable", failure={"code": "NO", "message": "No.", "remedy": None})
            continue
        answer(told)
    return 0


def answer(told: str) -> None:
    """Ten words, or as many as are asked for, until somebody abandons it."""
    count = int(told) if told.isdecimal() else 10
    done = 0
    while done < count and not abandoned(0.02):
        say(kind="Piece", text=f"{done} ")
        done += 1
    say(kind="Piece", text=f"by {os.getpid()}")
    say(
        kind="Ended",
        ending="STOP" if done == count else "LENGTH",
        prompt_tokens=3,
        answer_tokens=done,
        loading_seconds=0.5,
        first_seconds=0.25,
        seconds=1.5,
    )


def abandoned(seconds: float) -> bool:
    """Whether a line says so; a script has no thread to read it."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready)


def say(**reply: object) -> None:
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
