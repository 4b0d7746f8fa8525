"""A warm child that does what a test tells it: `python -P -m tests.jobs.scripted_companion`.

It speaks the protocol of `training.preview.questions` and needs none of the libraries. The question
says in `chat_template` what happens.
"""

import json
import os
import sys
import time

RESULT = {"records": [], "chat_template": None, "stop_tokens": [str(os.getpid())]}


def main() -> int:
    for line in sys.stdin.buffer:
        told = json.loads(line)["question"]["chat_template"]
        if told == "crash":
            sys.stderr.write("Something broke\n")
            sys.stderr.flush()
            os._exit(3)
        if told == "hang":
            time.sleep(600)
        answer: dict[str, object] = {"result": RESULT}
        if told == "refuse":
            answer = {"error": {"code": "NO", "message": "No.", "remedy": "Ask otherwise."}}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        if told == "leave":
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
