"""Numbers in sentences."""

import pytest

from training.wording import counted


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 records have no answer and are left out with their rows"),
        (1, "1 record has no answer and is left out with its row"),
        (2, "2 records have no answer and are left out with their rows"),
    ],
)
def test_words_agree_with_their_number(count: int, said: str) -> None:
    assert counted(count, "records have no answer and are left out with their rows") == said
