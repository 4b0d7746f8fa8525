"""The token examination child: `python -P -m training.data.doctor.token_run DIR [--lifeline]`.

Reads `DIR/token_examination.json` and the records it names, fills the cache of their tokens, and leaves
`DIR/result.json` (`{"result": TokenReport}` or `{"error": Failure}`); tells its progress, 0 to 100, in the
file `progress`. No torch here: tokenizers do without.
"""

import argparse
import os
import sys
from pathlib import Path

from training.data.doctor.report import TokenReport
from training.data.doctor.spec import TokenExaminationSpec
from training.files import write_whole
from training.libraries import imported_at_once, leave_out_torch, prepare_environment, silence
from training.locking import EXIT_BUSY, folder_lock
from training.outcomes import outcome_of
from training.progress.pulse import Pulse
from training.progress.stopping import on_lost_parent
from training.progress.telling import Teller

__all__ = ["main", "report"]


def main(arguments: list[str] | None = None) -> int:
    """Examine the rows of one dataset; the exit code."""
    parser = argparse.ArgumentParser(
        prog="training.data.doctor.token_run", description="Examine a dataset in tokens."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lifeline", action="store_true", help="leave when standard input ends")
    options = parser.parse_args(arguments)
    if options.lifeline:
        on_lost_parent(lambda: os._exit(1))  # tokens that are half written have no name yet
    with folder_lock(options.folder) as acquired:
        if not acquired:
            return EXIT_BUSY
        content = (options.folder / "token_examination.json").read_bytes()
        outcome = outcome_of(lambda: report(content, options.folder))
        write_whole(options.folder / "result.json", outcome)
    return 0


def report(spec: bytes, folder: Path) -> TokenReport:
    """What there is to say of a dataset's rows."""
    asked = TokenExaminationSpec.model_validate_json(spec)
    pulse, teller = Pulse(folder), Teller(folder / "progress")
    prepare_environment(asked.model_path)
    leave_out_torch()
    with pulse.while_busy(), imported_at_once():
        silence()
        from training.data.doctor.token_examination import (  # transformers: most of a second
            examine_tokens,
            renderer_of,
        )

        renderer = renderer_of(asked)

    def advanced(percent: float) -> None:
        pulse.beat()  # and not for work alone: a template may compute without an end
        teller.came(lambda: percent)

    return examine_tokens(asked, renderer, folder, advanced=advanced)


if __name__ == "__main__":
    sys.exit(main())
