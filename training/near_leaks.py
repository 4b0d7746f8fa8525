"""Records that a run tests with and that are nearly those it trains on, where both were examined."""

from pathlib import Path

from training.config import JobSpec
from training.data.doctor.errors import ExaminationDamaged
from training.data.doctor.kept import kept_fingerprints
from training.data.doctor.leaks import find_leaks
from training.data.doctor.report import Leaks
from training.data.token_file import Integers

__all__ = ["near_leaks"]


def near_leaks(spec: JobSpec, training: Integers, validation: Integers) -> Leaks | None:
    """What leaks from the records of a run at these lines; None where nothing does.

    Nor is anything said where a dataset is not examined yet, or what was kept of it cannot be read: no
    run waits for that, or ends over it.
    """
    ours = theirs = spec.examination_path
    if spec.validation_path is not None:
        theirs = spec.validation_examination_path
    if ours is None or theirs is None or not len(validation):
        return None
    try:
        kept = others = kept_fingerprints(Path(ours))
        if theirs != ours:
            others = kept_fingerprints(Path(theirs))
    except (FileNotFoundError, ExaminationDamaged):
        return None
    found = find_leaks(kept.at_lines(training), others.at_lines(validation)).leaks
    return found if found.near else None
