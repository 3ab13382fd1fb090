"""Numbers that stand for one person or account, told from other numbers by their checksums.

Each entry of `IDENTITY_NUMBERS` is a pattern and a test of what it matches; another country's number is one more line.
Patterns have bounded repetitions only. Where a number is commonly written without marks, its checksum decides; where it
has no checksum, its usual marks are required.

Sources: ISO/IEC 7812-1 (cards, Luhn), ISO 13616 (IBAN), ISO 7064 (MOD 97-10, MOD 11-2, MOD 11,10), GB 11643 (China),
and the published rules of the other registries.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

__all__ = ["IDENTITY_NUMBERS", "IdentityNumber", "luhn"]


@dataclass(frozen=True)
class IdentityNumber:
    """One kind of number."""

    name: str
    """As a finding calls one of them."""
    plural: str
    pattern: re.Pattern[str]
    valid: Callable[[str], bool]
    """Whether what the pattern matched is one, after blanks, dots, slashes and hyphens are taken out."""


def luhn(digits: str) -> bool:
    """Say whether the last digit is the Luhn check digit of the others."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _card(digits: str) -> bool:
    return len(set(digits)) > 1 and luhn(digits)


_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20,
    "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip


def _iban_pattern() -> str:
    """Each country's numbers have one length, so that words behind a number are not taken for part of it."""
    countries: dict[int, list[str]] = {}
    for country, length in _IBAN_LENGTHS.items():
        countries.setdefault(length, []).append(country)
    return "|".join(rf"(?:{'|'.join(those)})\d\d(?: ?[A-Z0-9]){{{size - 4}}}" for size, those in countries.items())


def _iban(text: str) -> bool:
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


_NEVER_ISSUED = {"078051120", "219099999"}  # printed in advertisements, and famous for it


def _social_security(digits: str) -> bool:
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    never = area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000"
    return not never and digits not in _NEVER_ISSUED


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


_CHINESE_PROVINCES = {
    *range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83,
}  # fmt: skip


def _chinese_resident(text: str) -> bool:
    if int(text[:2]) not in _CHINESE_PROVINCES or not _is_date(int(text[6:10]), int(text[10:12]), int(text[12:14])):
        return False
    total = sum(int(digit) * (2 ** (17 - place) % 11) for place, digit in enumerate(text[:17]))
    return "10X98765432"[total % 11] == text[17].upper()


def _spanish(text: str) -> bool:
    number = text[:-1].upper()
    digits = str("XYZ".index(number[0])) + number[1:] if number[0] in "XYZ" else number
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == text[-1].upper()


def _german_tax(digits: str) -> bool:
    """Among the first ten digits exactly one stands twice or three times; the last is ISO 7064 MOD 11,10."""
    often = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    if often[-1] not in (2, 3) or often[-2] != 1:
        return False
    product = 10
    for digit in digits[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
         10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip
"""What a character counts at an odd place of an Italian tax code."""


def _italian_tax(code: str) -> bool:
    even = sum(int(c) if c.isdigit() else ord(c) - 65 for c in code[1:15:2])
    odd = sum(_ODD[c] for c in code[0:15:2])
    return chr(65 + (even + odd) % 26) == code[15]


def _brazilian_taxpayer(digits: str) -> bool:
    if len(set(digits)) == 1:
        return False
    for length in (9, 10):
        total = sum(int(digit) * (length + 1 - place) for place, digit in enumerate(digits[:length]))
        if total * 10 % 11 % 10 != int(digits[length]):
            return False
    return True


def _french_social_security(text: str) -> bool:
    number = text[:13].upper().replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(text[13:])


def _belgian_national(digits: str) -> bool:
    number, check = int(digits[:9]), int(digits[9:])
    return check in (97 - number % 97, 97 - (2_000_000_000 + number) % 97)


def _korean_resident(digits: str) -> bool:
    century = 1900 if digits[6] in "1256" else 2000
    if not _is_date(century + int(digits[:2]), int(digits[2:4]), int(digits[4:6])):
        return False
    total = sum(int(digit) * (2 + place % 8) for place, digit in enumerate(digits[:12]))
    return (11 - total % 11) % 10 == int(digits[12])


def _entry(name: str, plural: str, pattern: str, valid: Callable[[str], bool]) -> IdentityNumber:
    return IdentityNumber(name, plural, re.compile(pattern, re.ASCII), valid)


_ALONE, _END = r"(?<![\w.+-])", r"(?![\w]|[.,-]\d)"
IDENTITY_NUMBERS: tuple[IdentityNumber, ...] = (
    _entry("IBAN", "IBANs", rf"{_ALONE}(?:{_iban_pattern()})(?![A-Za-z0-9])", _iban),
    _entry(
        "Chinese resident identity number",
        "Chinese resident identity numbers",
        rf"{_ALONE}[1-8]\d{{5}}(?:19|20)\d{{9}}[\dXx]{_END}",
        _chinese_resident,
    ),
    _entry(
        "payment card number",
        "payment card numbers",
        # By issuer and length: 4-4-4-4(-3), 4-6-5 for American Express, 4-6-4 for Diners Club.
        rf"{_ALONE}(?:(?:4\d{{3}}|5[1-5]\d\d|2[2-7]\d\d|6(?:011|5\d\d|4[4-9]\d|2\d\d)|35(?:2[89]|[3-8]\d))"
        r"(?P<a>[ -]?)\d{4}(?P=a)\d{4}(?P=a)\d{4}(?:(?P=a)\d{3})?"
        rf"|3[47]\d\d(?P<b>[ -]?)\d{{6}}(?P=b)\d{{5}}|3(?:0[0-5]|[68]\d)\d(?P<c>[ -]?)\d{{6}}(?P=c)\d{{4}}){_END}",
        _card,
    ),
    _entry(
        "French social security number",
        "French social security numbers",
        rf"{_ALONE}[12] ?\d\d ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d\d|2[ABab]) ?\d{{3}} ?\d{{3}} ?\d\d{_END}",
        _french_social_security,
    ),
    _entry(
        "Korean resident number",
        "Korean resident numbers",
        rf"{_ALONE}\d\d[01]\d[0-3]\d-[1-8]\d{{6}}{_END}",
        _korean_resident,
    ),
    _entry(
        "Brazilian taxpayer number (CPF)",
        "Brazilian taxpayer numbers (CPF)",
        rf"{_ALONE}(?:\d{{3}}\.\d{{3}}\.\d{{3}}|\d{{9}})-\d\d{_END}",
        _brazilian_taxpayer,
    ),
    _entry(
        "Belgian national number",
        "Belgian national numbers",
        rf"{_ALONE}\d\d\.[0-5]\d\.[0-3]\d-\d{{3}}[.-]\d\d{_END}",
        _belgian_national,
    ),
    _entry(
        "German tax number (Steuer-ID)",
        "German tax numbers (Steuer-ID)",
        rf"{_ALONE}[1-9]\d(?P<s> ?)\d{{3}}(?P=s)\d{{3}}(?P=s)\d{{3}}{_END}",
        _german_tax,
    ),
    _entry(
        "Italian tax code",
        "Italian tax codes",
        rf"{_ALONE}[A-Z]{{6}}\d\d[ABCDEHLMPRST]\d\d[A-Z]\d{{3}}[A-Z]{_END}",
        _italian_tax,
    ),
    _entry(
        "Spanish identity number (DNI, NIE)",
        "Spanish identity numbers (DNI, NIE)",
        rf"{_ALONE}(?:\d{{8}}|[XYZxyz]-?\d{{7}})[ -]?[A-HJ-NP-TV-Za-hj-np-tv-z]{_END}",
        _spanish,
    ),
    _entry(
        "US social security number",
        "US social security numbers",
        rf"{_ALONE}\d{{3}}(?P<s>[- ])\d\d(?P=s)\d{{4}}{_END}",
        _social_security,
    ),
)
"""In the order in which they are looked for: the better a number's checksum, the earlier."""
