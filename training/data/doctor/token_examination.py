"""The doctor's look at a dataset as rows of tokens, which it leaves in the dataset's cache.

The rows are rendered, or found there, and then read one after the other beside their records. What is
held of each is some 20 bytes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from training.data.choosing import settle_template
from training.data.doctor.kept import keep_marks
from training.data.doctor.marks import findings, patterns
from training.data.doctor.reading import numbered_records
from training.data.doctor.report import TokenReport
from training.data.doctor.rows import RowDoctor
from training.data.doctor.spec import TokenExaminationSpec
from training.data.rendering import Renderer
from training.data.token_cache import RecordFile, token_rows
from training.data.token_file import read_rows
from training.models.sources import tokenizer_folder
from training.models.tokenizers import declared_stop_ids, load_tokenizer

__all__ = ["examine_tokens", "renderer_of"]

RENDERING_PERCENT: Final = 50.0
"""Of all the time, where nobody has rendered the rows before."""


def renderer_of(spec: TokenExaminationSpec) -> Renderer:
    """What renders the records as a run of the model would. Raises `ModelUnreadable`, and what
    `settle_template` raises."""
    folder = str(tokenizer_folder(spec.model_path))
    tokenizer = load_tokenizer(folder)
    declared = declared_stop_ids(folder, tokenizer)
    return Renderer(
        tokenizer,
        spec.data_type,
        stop_token_ids=settle_template(tokenizer, spec.chat_template, declared),
        max_length=spec.max_sequence_length,
        train_on=spec.train_on,
    )


def examine_tokens(
    spec: TokenExaminationSpec,
    renderer: Renderer,
    scratch: Path,
    *,
    advanced: Callable[[float], None],
) -> TokenReport:
    """What the rows are. `advanced` is told the percentage that is done, often.

    What was found of each row is kept in `scratch`; so are rows that the dataset's folder does not take. Raises what ends a run over its
    records: what `Renderer.rows` raises, `DatasetDamaged` and `DiskFull`.
    """
    path = Path(spec.path)
    cached = token_rows(
        RecordFile(path, spec.data_type, spec.sha256),
        renderer,
        (path.parent, scratch),
        should_stop=lambda: False,
        advanced=lambda state: advanced(RENDERING_PERCENT * state.share),
    )
    assert cached is not None  # noqa: S101 - it is never told to stop
    doctor = RowDoctor(
        renderer.tokenizer,
        spec.data_type,
        stop_token_ids=renderer.stop_token_ids,
        max_length=spec.max_sequence_length,
    )
    looking = 100.0 - RENDERING_PERCENT
    records = numbered_records(path, came=lambda s: advanced(RENDERING_PERCENT + looking * s))
    for (_, record), row in zip(records, read_rows(cached.path), strict=True):
        doctor.look(record, row)
    found = doctor.examination()
    keep_marks(found.marks, scratch)
    stops = sorted(renderer.stop_token_ids)
    return TokenReport(
        statistics=found.tokens,
        findings=findings(found.marks),
        patterns=patterns(found.marks),
        stop_tokens=tuple(renderer.tokenizer.convert_ids_to_tokens(stops)),
    )
