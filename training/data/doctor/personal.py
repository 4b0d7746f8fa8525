"""Personal data and secrets that can be told by their form, and by check digits where they have some.

Names and addresses cannot: that takes a language model, and misses many all the same.
"""

import re
from typing import Final

from phonenumbers import NumberParseException, is_valid_number
from phonenumbers import parse as parse_number

from training.data.doctor.checks import BITS, Code

__all__ = ["personal_marks"]


def personal_marks(text: str) -> int:
    """The bits of the kinds of personal data in a text."""
    marks = 0
    if "@" in text and _EMAIL.search(text):
        marks |= BITS[Code.EMAIL_ADDRESS]
    if _DIGITS.search(text):
        if "+" in text and any(map(_is_phone, _PHONE.findall(text))):
            marks |= BITS[Code.PHONE_NUMBER]
        if any(map(_is_card, _CARD.findall(text))):
            marks |= BITS[Code.CARD_NUMBER]
        if any(map(_is_iban, _IBAN.findall(text))):
            marks |= BITS[Code.BANK_ACCOUNT]
    if any(beginning in text for beginning in _KEY_BEGINNINGS) and _KEY.search(text):
        marks |= BITS[Code.SECRET_KEY]
    return marks


def _is_phone(candidate: str) -> bool:
    """By the numbering plan of the country that its prefix names."""
    try:
        return is_valid_number(parse_number(candidate))
    except NumberParseException:
        return False


def _is_card(candidate: str) -> bool:
    """By the digits that cards begin with and the check digit of ISO/IEC 7812-1."""
    digits = [int(digit) for digit in candidate if digit.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (
        len(set(digits)) > 1
        and _CARD_BEGINNING.match("".join(map(str, digits))) is not None
        and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
    )


def _is_iban(candidate: str) -> bool:
    """By the check digits of ISO 13616."""
    account = candidate.replace(" ", "")
    turned = account[4:] + account[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


_EMAIL: Final = re.compile(
    r"(?<![\w.+%-])[A-Za-z0-9_.+%-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"
)

_DIGITS: Final = re.compile(r"[0-9](?:[ ()./-]{0,3}[0-9]){6}")
"""Fewer digits are neither a phone number nor a card nor an account."""

_PHONE: Final = re.compile(r"(?<![\w+])\+[1-9][0-9 ()./-]{5,22}[0-9]")
_CARD: Final = re.compile(r"(?<![\w.-])[0-9](?:[ -]?[0-9]){12,18}(?![\w-]|\.[0-9])")
_CARD_BEGINNING: Final = re.compile(r"4|5[1-5]|2[2-7]|3[47]|6(?:011|[45])|35")
_IBAN: Final = re.compile(
    r"(?<!\w)[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"
)

_KEY_BEGINNINGS: Final = ("sk-", "ghp_", "github_pat_", "hf_", "AKIA", "AIza", "xox", "PRIVATE KEY")
_KEY: Final = re.compile(
    r"(?<![\w-])(?:"
    r"sk-(?:proj-|ant-|svcacct-)?[\w-]{32,}"
    r"|ghp_[A-Za-z0-9]{36}|github_pat_\w{60,}"
    r"|hf_[A-Za-z0-9]{30,}"
    r"|AKIA[A-Z0-9]{16}|AIza[\w-]{35}"
    r"|xox[abprs]-[\w-]{20,}"
    r"|-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY-----"
    r")"
)
"""As OpenAI, Anthropic, GitHub, Hugging Face, AWS, Google and Slack write their keys, and PEM."""
