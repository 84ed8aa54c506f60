"""Detection of a scanned code's channel."""

import pytest

from channels.codes import CODE_TABLE, LONGEST_CODE, detect_channel, normalise

DETECTED = [
    ("100000000000000001", "wechat"),
    ("140000000000000001", "wechat"),
    ("150000000000000001", "wechat"),
    ("2500000000000001", "alipay"),
    ("300000000000000000000001", "alipay"),
    ("fp" + "a1" * 16 + "z", "alipay"),
    ("6200000000000000001", "unionpay_qr"),
    ("0100000000000000001", "ecny"),
]
REFUSED = [
    "",
    "10000000000000001",  # 17 digits
    "1000000000000000001",  # 19 digits
    "160000000000000001",
    "240000000000000001",
    "310000000000000001",
    "250000000000001",  # 15 digits
    "620000000000000001",  # 18 digits
    "28000000000000000a",
    "28 0000000000000001",
    "28000000000000000\u0661",  # an Arabic digit
    "fp123",
    "9" * (LONGEST_CODE + 1),
]


@pytest.mark.parametrize(("code", "channel"), DETECTED)
def test_a_code_of_the_table_names_its_channel(code: str, channel: str) -> None:
    assert detect_channel(code) == channel


@pytest.mark.parametrize("code", REFUSED)
def test_what_fits_no_rule_is_refused(code: str) -> None:
    assert detect_channel(code) is None


@pytest.mark.parametrize("noise", ["{}\r\n", " {}\t", "\ufeff{}\u3000", "{}\n\n"])
def test_a_scanners_white_space_is_trimmed(noise: str) -> None:
    assert normalise(noise.format("280000000000000001")) == "280000000000000001"
    assert detect_channel(noise.format("280000000000000001")) == "alipay"


def test_full_width_digits_become_ascii() -> None:
    wide = "".join(chr(0xFF10 + int(digit)) for digit in "130000000000000009")
    assert normalise(wide) == "130000000000000009"
    assert detect_channel(wide) == "wechat"


def test_no_two_rules_claim_the_same_code() -> None:
    for rule in CODE_TABLE:
        for length in rule.lengths:
            for prefix in rule.prefixes:
                code = prefix.ljust(length, "0")
                claims = [
                    other
                    for other in CODE_TABLE
                    if len(code) in other.lengths and code.startswith(other.prefixes)
                ]
                assert claims == [rule]
