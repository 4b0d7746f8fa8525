"""The examination child: `python -P -m training.data.doctor.run DIR [--lifeline]`.

Reads `DIR/examination.json` and the records it names, and leaves `DIR/result.json` (`{"result": Report}`
or `{"error": Failure}`); tells its progress, 0 to 100, in the file `progress`. A process of its own, since what it holds of each record is given back with it.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from training.data.doctor.examination import examine
from training.data.doctor.kept import keep
from training.data.doctor.reading import numbered_records
from training.data.doctor.report import Report
from training.data.doctor.spec import ExaminationSpec
from training.files import write_whole
from training.locking import EXIT_BUSY, folder_lock
from training.outcomes import outcome_of
from training.progress.pulse import Pulse
from training.progress.stopping import on_lost_parent
from training.progress.telling import Teller

__all__ = ["main", "report"]

READING_PERCENT: Final = 90.0
"""Of all the time; in the rest, records are compared."""


def main(arguments: list[str] | None = None) -> int:
    """Examine the records of one dataset; the exit code."""
    parser = argparse.ArgumentParser(
        prog="training.data.doctor.run", description="Examine a dataset."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lifeline", action="store_true", help="leave when standard input ends")
    options = parser.parse_args(arguments)
    if options.lifeline:
        on_lost_parent(lambda: os._exit(1))  # nothing to save: a look is taken again
    with folder_lock(options.folder) as acquired:
        if not acquired:
            return EXIT_BUSY
        content = (options.folder / "examination.json").read_bytes()
        with Pulse(options.folder).while_busy():
            outcome = outcome_of(lambda: report(content, options.folder))
        write_whole(options.folder / "result.json", outcome)
    return 0


def report(spec: bytes, folder: Path) -> Report:
    """What there is to say of a dataset's records, which are read one after the other; what was found
    of each is kept in the folder."""
    asked = ExaminationSpec.model_validate_json(spec)
    teller = Teller(folder / "progress")
    records = numbered_records(
        Path(asked.path), came=lambda share: teller.came(lambda: READING_PERCENT * share)
    )
    examination = examine(asked.data_type, records)
    keep(examination, folder)
    return examination.report


if __name__ == "__main__":
    sys.exit(main())
