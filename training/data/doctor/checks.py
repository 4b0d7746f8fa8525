"""Everything the doctor looks for: its code, how grave it is, what to do, and what may be done."""

from enum import StrEnum
from typing import Final, NamedTuple

from training.findings import Severity

__all__ = [
    "BITS",
    "CHECKS",
    "LEAK_CODES",
    "RECORD_CODES",
    "ROW_CODES",
    "Check",
    "Code",
    "Strategy",
]


class Code(StrEnum):
    """What a record, or the row of tokens it becomes, was found to be.

    The order is that of the bits in stored marks: new codes go to the end.
    """

    INVISIBLE_TEXT = "INVISIBLE_TEXT"
    NOT_NFC = "NOT_NFC"
    CONTROL_CHARACTERS = "CONTROL_CHARACTERS"
    REPLACEMENT_CHARACTERS = "REPLACEMENT_CHARACTERS"
    MOJIBAKE = "MOJIBAKE"
    TEMPLATE_TOKENS = "TEMPLATE_TOKENS"
    NO_TRAINED_TURN = "NO_TRAINED_TURN"
    ANSWER_REPEATS_PROMPT = "ANSWER_REPEATS_PROMPT"
    UNDECLARED_TOOL = "UNDECLARED_TOOL"
    TOOL_RESULTS_MISMATCH = "TOOL_RESULTS_MISMATCH"
    UNUSUALLY_SHORT = "UNUSUALLY_SHORT"
    UNUSUALLY_LONG = "UNUSUALLY_LONG"
    DUPLICATE = "DUPLICATE"
    NEAR_DUPLICATE = "NEAR_DUPLICATE"
    CONFLICTING_ANSWERS = "CONFLICTING_ANSWERS"
    EMAIL_ADDRESS = "EMAIL_ADDRESS"
    PHONE_NUMBER = "PHONE_NUMBER"
    CARD_NUMBER = "CARD_NUMBER"
    BANK_ACCOUNT = "BANK_ACCOUNT"
    SECRET_KEY = "SECRET_KEY"  # noqa: S105 - the name of a finding
    TOO_LONG = "TOO_LONG"
    ANSWER_CUT = "ANSWER_CUT"
    NO_TRAINED_TOKEN = "NO_TRAINED_TOKEN"  # noqa: S105 - the name of a finding
    NO_TRAINED_TOKEN_LEFT = "NO_TRAINED_TOKEN_LEFT"  # noqa: S105 - the name of a finding
    STOP_TOKEN_NOT_TRAINED = "STOP_TOKEN_NOT_TRAINED"  # noqa: S105 - the name of a finding
    BOUNDARY_MERGE = "BOUNDARY_MERGE"
    DOUBLED_BOS = "DOUBLED_BOS"
    UNKNOWN_TOKENS = "UNKNOWN_TOKENS"
    CONTENT_CHANGED = "CONTENT_CHANGED"
    CONTENT_AS_CONTROL_TOKENS = "CONTENT_AS_CONTROL_TOKENS"
    LEAK = "LEAK"
    NEAR_LEAK = "NEAR_LEAK"


class Strategy(StrEnum):
    """What is done with the records of a finding. Without one they are kept, and reported."""

    ERROR = "ERROR"
    """The data is refused."""
    DROP = "DROP"
    """They are left out, counted, with their lines."""
    TRUNCATE = "TRUNCATE"
    """They are cut at the end to fit."""


class Check(NamedTuple):
    """What one finding says. `message` is followed by a colon and a count."""

    severity: Severity
    message: str
    remedy: str
    strategies: tuple[Strategy, ...] = (Strategy.ERROR, Strategy.DROP)


BITS: Final = {code: 1 << index for index, code in enumerate(Code)}
"""The bit that stands for each code in the marks of a record."""

_CUT: Final = (Strategy.ERROR, Strategy.DROP, Strategy.TRUNCATE)

CHECKS: Final[dict[Code, Check]] = {
    Code.INVISIBLE_TEXT: Check(
        Severity.WARNING,
        "Records with a text that shows nothing, only zero-width or control characters",
        "Fill in or remove these texts; the model would learn to answer with nothing.",
    ),
    Code.NOT_NFC: Check(
        Severity.RECOMMENDATION,
        "Records whose text is not in Unicode's composed form (NFC)",
        "Normalise the file to NFC: a letter and its accent written apart take other tokens.",
    ),
    Code.CONTROL_CHARACTERS: Check(
        Severity.WARNING,
        "Records with control characters other than tab and line ends",
        "Remove them; they are mostly left over from terminals, PDF files or broken exports.",
    ),
    Code.REPLACEMENT_CHARACTERS: Check(
        Severity.WARNING,
        "Records with U+FFFD, which stands where a character was lost",
        "Export the file again in UTF-8; what was lost cannot be found from here.",
    ),
    Code.MOJIBAKE: Check(
        Severity.WARNING,
        "Records with UTF-8 that was read as another encoding, such as Ã© for é",
        "Export the file again in UTF-8, or repair it with a tool such as ftfy.",
    ),
    Code.TEMPLATE_TOKENS: Check(
        Severity.WARNING,
        "Records with the control tokens of a chat template in their text, such as <|im_end|>",
        "Give the conversation as messages, not as rendered text; where a tokenizer has these "
        "tokens they end turns in the middle of a text.",
    ),
    Code.NO_TRAINED_TURN: Check(
        Severity.WARNING,
        "Conversations whose assistant turns all have weight 0",
        "Give one turn weight 1; nothing of these conversations is trained.",
    ),
    Code.ANSWER_REPEATS_PROMPT: Check(
        Severity.WARNING,
        "Records with an answer that is the prompt once more",
        "Look at the columns: the same one may have been taken for both sides.",
    ),
    Code.UNDECLARED_TOOL: Check(
        Severity.WARNING,
        "Conversations that call a tool which their tools do not declare",
        "Add the tool to the record's tools; the model would learn to call what is not offered.",
    ),
    Code.TOOL_RESULTS_MISMATCH: Check(
        Severity.WARNING,
        "Conversations whose tool results are not one for each call, by number and id",
        "Give every call one result with its tool_call_id.",
    ),
    Code.UNUSUALLY_SHORT: Check(
        Severity.RECOMMENDATION,
        "Records much shorter than nearly all others",
        "Look at them: answers cut off by an export look like this.",
    ),
    Code.UNUSUALLY_LONG: Check(
        Severity.RECOMMENDATION,
        "Records much longer than nearly all others",
        "Look at them: rows that ran together look like this.",
    ),
    Code.DUPLICATE: Check(
        Severity.WARNING,
        "Records equal to an earlier one",
        "Drop them; they are trained that many times, and tie a split's two sides together.",
    ),
    Code.NEAR_DUPLICATE: Check(
        Severity.RECOMMENDATION,
        "Records nearly equal to an earlier one",
        "Look at the largest groups; drop them where the difference teaches nothing.",
    ),
    Code.CONFLICTING_ANSWERS: Check(
        Severity.RECOMMENDATION,
        "Records with the prompt of an earlier one and another answer",
        "Keep one answer where only one is right; where several are, this is as it should be.",
    ),
    Code.EMAIL_ADDRESS: Check(
        Severity.WARNING,
        "Records with an e-mail address",
        "Replace it, or make sure that you may train on it; models repeat what they are taught.",
    ),
    Code.PHONE_NUMBER: Check(
        Severity.WARNING,
        "Records with a phone number in international form",
        "Replace it, or make sure that you may train on it; models repeat what they are taught.",
    ),
    Code.CARD_NUMBER: Check(
        Severity.WARNING,
        "Records with the number of a payment card, its check digit right",
        "Replace it; models repeat what they are taught.",
    ),
    Code.BANK_ACCOUNT: Check(
        Severity.WARNING,
        "Records with an IBAN, its check digits right",
        "Replace it; models repeat what they are taught.",
    ),
    Code.SECRET_KEY: Check(
        Severity.WARNING,
        "Records with a private key or the key of a service",
        "Revoke the key and replace it; models repeat what they are taught.",
    ),
    Code.TOO_LONG: Check(
        Severity.WARNING,
        "Records with more tokens than maxSequenceLength",
        "Raise maxSequenceLength, split the records, or choose to drop or truncate them.",
        _CUT,
    ),
    Code.ANSWER_CUT: Check(
        Severity.WARNING,
        "Records whose cut to maxSequenceLength falls into a trained answer",
        "Raise maxSequenceLength or drop them; cut, they teach to stop in mid-sentence.",
        _CUT,
    ),
    Code.NO_TRAINED_TOKEN: Check(
        Severity.WARNING,
        "Records without a token that bears loss",
        "Remove them, or look at roles and weights; nothing is learned from them.",
    ),
    Code.NO_TRAINED_TOKEN_LEFT: Check(
        Severity.WARNING,
        "Records without a token that bears loss once cut to maxSequenceLength",
        "Raise maxSequenceLength or shorten the prompts; cut, nothing is learned from them.",
    ),
    Code.STOP_TOKEN_NOT_TRAINED: Check(
        Severity.ERROR,
        "Records with an answer whose stop token is not trained",
        "Choose a template that ends an answer with one of the model's stop tokens; without it "
        "the model never learns to stop.",
    ),
    Code.BOUNDARY_MERGE: Check(
        Severity.RECOMMENDATION,
        "Records whose tokens at the border of prompt and answer would be others if both were "
        "tokenised together",
        "Let the space between prompt and answer begin the answer, or leave it out; the run "
        "tokenises them apart, as generation does, and other programs may not.",
    ),
    Code.DOUBLED_BOS: Check(
        Severity.WARNING,
        "Records that begin with the beginning-of-sequence token twice",
        "Remove the token from the text or the template; the tokenizer adds it on its own.",
    ),
    Code.UNKNOWN_TOKENS: Check(
        Severity.WARNING,
        "Records with characters that the tokenizer does not know",
        "Choose a model whose tokenizer covers the language, or replace the characters.",
    ),
    Code.CONTENT_CHANGED: Check(
        Severity.WARNING,
        "Records with a text that is not in their tokens as it was written",
        "Look at the preview: the template leaves it out or rewrites it, or the tokenizer does.",
    ),
    Code.CONTENT_AS_CONTROL_TOKENS: Check(
        Severity.WARNING,
        "Records with text that this tokenizer reads as control tokens",
        "Remove it, or write it otherwise; it would end or begin turns in the middle of a text.",
    ),
    Code.LEAK: Check(
        Severity.WARNING,
        "Validation records that are also training records",
        "Keep duplicates on one side of the split; the validation loss would flatter.",
    ),
    Code.NEAR_LEAK: Check(
        Severity.WARNING,
        "Validation records nearly equal to a training record",
        "Look at the pairs and drop those that ask for the same; the validation loss would flatter.",
    ),
}
"""The table of all checks, in the order of a report."""

ROW_CODES: Final = frozenset(
    {
        Code.TOO_LONG,
        Code.ANSWER_CUT,
        Code.NO_TRAINED_TOKEN,
        Code.NO_TRAINED_TOKEN_LEFT,
        Code.STOP_TOKEN_NOT_TRAINED,
        Code.BOUNDARY_MERGE,
        Code.DOUBLED_BOS,
        Code.UNKNOWN_TOKENS,
        Code.CONTENT_CHANGED,
        Code.CONTENT_AS_CONTROL_TOKENS,
    }
)
"""What only a look at the rows of tokens finds, which needs a tokenizer."""
LEAK_CODES: Final = frozenset({Code.LEAK, Code.NEAR_LEAK})
"""What is only found between two sides."""
RECORD_CODES: Final = frozenset(Code) - ROW_CODES - LEAK_CODES
"""What is found in the records as they are."""
