"""Where a model lies: a local folder, or a hub id that is brought into one."""

from pathlib import Path
from typing import Final

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError

from training.errors import ModelUnreadable

_WEIGHTS: Final = "*.safetensors"
_WANTED: Final = [
    _WEIGHTS, "*.json", "*.jinja", "*.model", "*.txt", "README.md", "LICEN[SC]E*", "NOTICE*",
]  # fmt: skip


def local_folder(source: str) -> Path:
    """The folder of a model's files, downloaded where `source` is a hub id.

    Raises `ModelUnreadable` where there is neither.
    """
    return _folder(source, _WANTED)


def tokenizer_folder(source: str) -> Path:
    """The folder of a model's files but for its weights, downloaded where `source` is a hub id.

    Raises `ModelUnreadable` where there is neither.
    """
    return _folder(source, [pattern for pattern in _WANTED if pattern != _WEIGHTS])


def _folder(source: str, wanted: list[str]) -> Path:
    if Path(source).is_dir():
        return Path(source)
    if source.startswith(("/", ".", "~")):
        raise ModelUnreadable(source, "there is no such folder")
    try:
        return Path(snapshot_download(source, allow_patterns=wanted))
    except HFValidationError as error:
        raise ModelUnreadable(source, "it is neither a folder nor a hub id") from error
    except OSError as error:  # every other failure of the hub, offline included
        raise ModelUnreadable(
            source, f"the hub did not give it ({type(error).__name__})"
        ) from error
