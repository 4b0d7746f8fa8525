"""What was used last is remembered, and no more than that."""

from collections.abc import Sequence

import pytest

from training.data import remembered_texts
from training.data.remembered_texts import RememberedTexts, as_ids, as_list


def test_texts_are_asked_for_once_until_others_took_their_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remembered_texts, "_CHARACTERS", 5)
    asked: list[str] = []

    def tokenised(texts: Sequence[str]) -> list[bytes]:
        asked.extend(texts)
        return [as_ids([len(text)]) for text in texts]

    remembered = RememberedTexts(tokenised, {"<end>": as_ids([7])})
    for texts in [{"one"}, {"three", "<end>"}, {"one"}, {"seven"}, {"one"}, {"eleven"}, {"three"}]:
        known = remembered.ids_of(texts)
        assert {text: as_list(known[text]) for text in texts} == {
            text: [7] if text == "<end>" else [len(text)] for text in texts
        }
    assert asked == ["one", "three", "seven", "eleven", "three"]


def test_ids_are_kept_as_they_are() -> None:
    assert as_list(as_ids([0, 1, 2**31 - 1])) == [0, 1, 2**31 - 1]
    assert as_list(as_ids([])) == []
