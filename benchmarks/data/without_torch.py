"""A tokenizer without torch: 260 MB that none needs. Imported before all else of transformers."""

import sys

sys.modules["torch"] = None  # type: ignore[assignment]  # which makes its import fail

from transformers import AutoTokenizer  # noqa: E402 - the line above must come first

__all__ = ["AutoTokenizer"]
