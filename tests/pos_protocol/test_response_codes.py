"""The table of F39."""

from pos_protocol.response_codes import RESPONSE_CODES, ResponseClass, is_success, meaning

# every code of reference §5 by class; "-" stands for "no class known"
LISTED = {
    "A": "00 10 11 A2 A4 A5 A6",
    "B": "13 14 99 A0",
    "C": "01 03 05 12 15 21 22 25 30 40 57 58 45 51 61 65 54 55 75 59 62 64 68 90 91 92 96 94 A1 A3 A7",
    "D": "04 34 38 41 43 97",
    "E": "98",
    "-": "33 77 95",
}


def test_every_listed_code_has_its_class_and_both_texts() -> None:
    classes = {code: letter for letter, codes in LISTED.items() for code in codes.split()}
    assert {code: line.response_class.value for code, line in RESPONSE_CODES.items()} == classes
    for code, line in RESPONSE_CODES.items():
        assert line.code == code
        assert not line.zh.isascii()
        assert line.en.isascii()
        assert line.en


def test_success_is_class_a_and_nothing_else() -> None:
    """An unlisted code is never taken for a success."""
    assert {code for code in RESPONSE_CODES if is_success(code)} == set(LISTED["A"].split())
    assert not is_success("ZZ")
    assert meaning("ZZ") is None
    assert {line.value for line in ResponseClass} == set(LISTED)
