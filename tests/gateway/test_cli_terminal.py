"""The terminal on the command line, against a scripted host: every transaction, its slip,
its memory between calls."""

import re
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from gateway.cli.terminal_journal import line_of, read_line
from gateway.cli.terminal_transactions import ROWS
from pos_protocol import asks
from pos_protocol.card import magnetic_card
from pos_protocol.codec import encode_with_mac
from pos_protocol.fields.download import BlockMark, DownloadBlock, build_block, parse_query
from pos_protocol.fields.original import parse_original
from pos_protocol.fields.payment_status import PaymentState, PaymentStatus
from pos_protocol.fields.scan_info import parse_scan_info
from pos_protocol.fields.totals import SettlementTotals, parse_totals
from pos_protocol.fields.upload import parse_chip_line, parse_count, parse_lines
from pos_protocol.push import payment_push
from pos_protocol.terminal import Terminal, TerminalIdentity, TerminalScheme
from pos_protocol.tlv import ber_build, ber_items
from pos_protocol.transactions import TransactionKind
from signing.pos import CipherKey, decrypt_track, verify_pin_block
from tests.support.command_line import COMMAND, At, caller, state_of
from tests.support.pos_host import AUTH_CODE, MERCHANT_ID, TMK, PosHost, Turn, otherwise

K = TransactionKind
PAN, PIN, CODE = "9900000000000010", "123456", "280000000000000001"
OTHER_PAN = "9900000000000028"
ROOT = Path(__file__).resolve().parents[2]
CARD = ("--pan", PAN, "--pin", PIN)


@pytest.fixture
def host() -> Iterator[PosHost]:
    """An approving host."""
    with PosHost() as it:
        yield it


@pytest.fixture
def at(host: PosHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> At:
    """A terminal of that host, signed in."""
    run = caller(host, tmp_path, monkeypatch)
    assert run("sign-in")["batch"] == "000000"
    return run


def test_a_sale_and_its_slip(at: At, host: PosHost, tmp_path: Path) -> None:
    """The members that scripts rely on, the PIN under the PIN key, a right MAC."""
    row = at("sale", "--amount", "1990", *CARD)
    assert row["transaction"] == "sale"
    assert (row["terminal_id"], row["trace"], row["batch"]) == ("99000001", "000002", "000007")
    assert (row["approved"], row["response_code"], row["amount_fen"]) == (True, "00", 1990)
    assert (row["card"], row["auth_code"], row["fault"]) == ("990000******0010", AUTH_CODE, None)
    sold = host.heard[-1]
    assert sold.mac_is_right and not sold.missing
    assert verify_pin_block(sold.message.data(52), PIN, PAN, CipherKey(host.keys.pin))
    slip = at("sale", "--amount", "1990", *CARD, as_json=False).stdout
    for words in ("消费", "SALE", "商户存根", "¥ 19.90", "990000******0010", "交易成功", "Approved",
                  MERCHANT_ID, "99000001", "000007", "000003", "11/22", "12:00:00"):  # fmt: skip
        assert words in slip, words
    assert PAN not in slip and PIN not in slip


def test_nothing_sensitive_rests_in_the_state_file(at: At, tmp_path: Path) -> None:
    """No card, PIN, payer's code, authorisation code or clear key."""
    at("sale", "--amount", "100", *CARD)
    at("scan", "--amount", "100", "--code", CODE)
    at("preauth", "--amount", "100", *CARD)
    text = (tmp_path / ".posgate-terminal-99000001.json").read_text()
    for secret in (PAN, CODE, f'"{PIN}"', AUTH_CODE, TMK.hex()):
        assert secret not in text
    assert "990000******0010" in text


def test_a_refusal_is_told_and_leaves_with_one(at: At, host: PosHost) -> None:
    """F39 in both languages, exit status 1, nothing to void or reverse afterwards."""
    host.script(K.SALE, Turn(code="51"))
    row = at("sale", "--amount", "100", *CARD, status=1)
    assert (row["approved"], row["response_code"]) == (False, "51")
    assert row["text"] == "余额不足 / Not enough money in the account"
    assert "no such transaction" in at("void", status=2).stderr
    at("reverse", status=1)
    assert host.kinds() == [K.SIGN_IN, K.SALE]


def test_a_void_needs_nothing_but_the_trace(at: At, host: PosHost) -> None:
    """The last sale, or the one that is named; amount, reference and date from the journal."""
    first = at("sale", "--amount", "100", *CARD)
    at("sale", "--amount", "200", *CARD)
    assert at("void", "--trace", first["trace"])["amount_fen"] == 100
    voided = host.last(K.VOID)
    original = parse_original(voided.text(61))
    assert (original.batch, original.trace, original.date) == ("000007", first["trace"], "1122")
    assert voided.text(37) == first["reference"]
    assert at("void")["amount_fen"] == 200
    assert 2 not in voided.fields and 35 not in voided.fields
    at("void", "--trace", first["trace"], "--pan", PAN)
    assert host.last(K.VOID).text(35).startswith(PAN)


def test_a_refund_is_a_part_or_the_whole(at: At, host: PosHost) -> None:
    sale = at("sale", "--amount", "1990", *CARD)
    assert at("refund", "--amount", "500")["amount_fen"] == 500
    refund = host.last(K.REFUND)
    assert (refund.mti, refund.text(63)) == ("0220", "000")
    assert refund.text(61) == f"000007{sale['trace']}1122"
    assert at("refund", "--trace", sale["trace"])["amount_fen"] == 1990
    assert not any(one.missing for one in host.heard)


def test_a_refund_of_another_day_is_told_everything(at: At, host: PosHost) -> None:
    """The journal does not know it: batch, trace, date, reference and amount are options."""
    at("refund", "--batch", "000003", "--trace", "12", "--date", "1119", "--reference",
       "123456789012", "--amount", "700")  # fmt: skip
    refund = host.last(K.REFUND)
    assert refund.text(61) == "0000030000121119"
    assert (refund.text(37), refund.text(4)) == ("123456789012", "000000000700")
    for missing, option in (("--amount", "--amount"), ("--reference", "--reference")):
        words = ["--trace", "12", "--amount", "7", "--reference", "123456789012"]
        index = words.index(missing)
        said = at("refund", *words[:index], *words[index + 2 :], status=2).stderr
        assert option in said


def test_a_payment_by_code_is_taken_back_by_its_voucher(at: At, host: PosHost) -> None:
    """Neither ``void`` nor ``refund`` needs the code again; ``scan-void`` says it outright."""
    sold = at("scan", "--amount", "500", "--code", CODE)
    assert parse_scan_info(host.last(K.QR_SALE).text(59)).code == CODE
    for name, kind in (("void", K.QR_VOID), ("refund", K.QR_REFUND), ("scan-void", K.QR_VOID),
                       ("scan-refund", K.QR_REFUND)):  # fmt: skip
        assert at(name)["amount_fen"] == 500
        back = host.last(kind)
        assert parse_scan_info(back.text(59)).voucher == sold["voucher"] == "V000002"
        assert parse_original(back.text(61)).trace == sold["trace"]
    assert not any(one.missing for one in host.heard)


def test_a_reversal_repeats_the_last_transaction(at: At, host: PosHost) -> None:
    """Its own fields, its own trace; a second one finds nothing."""
    sale = at("sale", "--amount", "1990", *CARD)
    row = at("reverse")
    assert (row["trace"], row["response_code"]) == (sale["trace"], "00")
    reversal = host.last(K.REVERSAL)
    assert (reversal.text(39), reversal.text(4)) == ("98", "000000001990")
    assert 35 not in reversal.fields and 52 not in reversal.fields
    assert "posgate: " in at("reverse", status=1).stderr
    assert host.kinds().count(K.REVERSAL) == 1


def test_what_was_not_answered_is_reversed_before_the_next_sale(at: At, host: PosHost) -> None:
    """Silence: exit status 1; the next call, with nothing in memory, reverses it first."""
    host.script(K.SALE, Turn(is_silent=True))
    said = at("sale", "--amount", "1", *CARD, "--patience", "0.1", status=1).stderr
    assert "no answer within" in said
    row = at("sale", "--amount", "2", *CARD)
    assert row["reversed_first"] == ["000002"]
    assert host.kinds() == [K.SIGN_IN, K.SALE, K.REVERSAL, K.SALE]
    assert at("sale", "--amount", "3", *CARD)["reversed_first"] == []


def test_an_answer_with_a_wrong_mac_is_reversed_with_a0(at: At, host: PosHost) -> None:
    host.script(K.SALE, Turn(wrong_mac=True))
    row = at("sale", "--amount", "1", *CARD, status=1)
    assert (row["approved"], row["fault"]) == (False, "bad_mac")
    at("scan", "--amount", "2", "--code", CODE)
    assert host.last(K.REVERSAL).text(39) == "A0"


def test_three_reversals_without_an_answer_stop_the_till(at: At, host: PosHost) -> None:
    """Nothing is sold before it is known; then it goes on."""
    host.script(K.SALE, Turn(hangs_up=True))
    host.script(K.REVERSAL, Turn(hangs_up=True), Turn(hangs_up=True), Turn(code="96"))
    at("sale", "--amount", "1", *CARD, status=1)
    said = at("sale", "--amount", "2", *CARD, status=1).stderr
    assert "000002" in said and "96" in said
    assert host.kinds().count(K.SALE) == 1
    assert at("sale", "--amount", "2", *CARD)["reversed_first"] == ["000002"]


@pytest.mark.parametrize(
    ("said", "is_reversed"),
    [(PaymentState.PAID, False), (PaymentState.NOT_PAID, False), (PaymentState.NEVER_SEEN, False),
     (PaymentState.ASKING, True)],
)  # fmt: skip
def test_an_inquiry_settles_what_was_not_answered(
    at: At, host: PosHost, said: PaymentState, is_reversed: bool
) -> None:
    """Only what is still being asked has to be reversed; what is paid counts."""
    host.script(K.SALE, Turn(hangs_up=True))
    host.status = PaymentStatus(said, "00" if said is PaymentState.PAID else "")
    at("sale", "--amount", "700", *CARD, status=1)
    row = at("status")
    assert row["state"] == said.name.lower()
    assert parse_original(host.last(K.STATUS_INQUIRY).text(61)).trace == "000002"
    at("balance", "--pan", PAN)
    assert (K.REVERSAL in host.kinds()) == is_reversed
    at("settle")
    paid = 700 if said is PaymentState.PAID else 0
    assert parse_totals(host.last(K.SETTLEMENT).text(48)).domestic.debit_fen == paid


def test_a_query_by_code(at: At, host: PosHost) -> None:
    """By the code, or by the voucher of the journal."""
    assert at("query", "--code", CODE)["state"] == "paid"
    assert parse_scan_info(host.last(K.QR_QUERY).text(59)).code == CODE
    assert "--code" in at("query", status=2).stderr
    sold = at("scan", "--amount", "500", "--code", CODE)
    slip = at("query", as_json=False).stdout
    assert "已支付 / paid" in slip
    assert parse_scan_info(host.last(K.QR_QUERY).text(59)).voucher == sold["voucher"]


def test_a_hold_and_its_completion(at: At, host: PosHost) -> None:
    """The authorisation code comes from the slip; without it the command says so."""
    hold = at("preauth", "--amount", "50000", *CARD)
    assert "--auth-code" in at("complete", "--amount", "42000", "--pan", PAN, status=2).stderr
    code = ("--auth-code", hold["auth_code"])
    done = at("complete", "--amount", "42000", "--pan", PAN, *code)
    assert done["amount_fen"] == 42_000
    completion = host.last(K.COMPLETION)
    assert (completion.text(38), completion.text(25)) == (AUTH_CODE, "06")
    assert parse_original(completion.text(61)).trace == hold["trace"]
    at("complete-void", "--pan", PAN, *code)
    assert parse_original(host.last(K.COMPLETION_VOID).text(61)).trace == done["trace"]
    at("preauth-add", "--amount", "100", *CARD)
    at("preauth-void", "--trace", hold["trace"], "--pan", PAN, *code)
    assert host.last(K.PREAUTH_VOID).text(4) == "000000050000"
    at("complete-advice", "--amount", "1", "--trace", hold["trace"], "--pan", PAN, *code)
    assert host.last(K.COMPLETION_ADVICE).mti == "0220"
    assert not any(one.missing for one in host.heard)


def test_what_is_told_after_the_fact(at: At, host: PosHost) -> None:
    """Offline sale, its adjustment, a tip; the totals have the amounts as they became."""
    sold = at("offline-sale", "--amount", "1000", "--auth-code", "T00001", "--pan", PAN)
    at("sale", "--amount", "2000", *CARD)
    at("scan", "--amount", "500", "--code", "280000000000000001")
    at("adjust", "--amount", "1100", "--pan", PAN)
    assert host.last(K.ADJUSTMENT).text(61)[6:12] == sold["trace"]
    at("tip", "--tip", "300", "--pan", PAN)
    tip = host.last(K.TIP)
    assert (tip.text(4), tip.text(48)) == ("000000002300", "000000000300")
    at("notice", "--trace", sold["trace"])
    notice = host.last(K.NOTICE_UPLOAD)
    assert (notice.text(11), 64 in notice.fields) == (sold["trace"], False)
    at("settle")
    totals = parse_totals(host.last(K.SETTLEMENT).text(48)).domestic
    assert (totals.debit_fen, totals.debit_count) == (3900, 3)
    assert not any(one.missing for one in host.heard)


def test_a_chip_and_its_script(at: At, host: PosHost) -> None:
    """F55 with ``--chip``; the notice has the tags of a script's result."""
    sold = at("sale", "--amount", "100", "--chip", *CARD)
    assert host.last(K.SALE).text(22) == "051"
    result = ber_build([("DF31", bytes.fromhex("2000000000")), ("95", bytes(5)), ("9F09", b"1")])
    at("script-result", "--chip-data", result.hex())
    notice = host.last(K.SCRIPT_RESULT)
    assert [tag for tag, _ in ber_items(notice.data(55))] == ["DF31", "95"]
    assert parse_original(notice.text(61)).trace == sold["trace"]
    assert "hexadecimal" in at("script-result", "--chip-data", "xy", status=2).stderr


def test_a_balance_is_shown(at: At) -> None:
    assert at("balance", *CARD)["balances_fen"] == [123_456]
    assert "¥ 1234.56" in at("balance", *CARD, as_json=False).stdout


def test_equal_totals_end_the_batch(at: At, host: PosHost) -> None:
    """Flag 1: no lines of stripes, the end with 207, the next batch, an empty journal."""
    at("sale", "--amount", "1000", *CARD)
    voided = at("sale", "--amount", "300", *CARD)
    at("void", "--trace", voided["trace"])
    at("scan", "--amount", "50", "--code", CODE)
    row = at("settle")
    assert (row["totals"], row["uploaded"], row["next_batch"]) == ("equal", 0, "000008")
    asked = parse_totals(host.last(K.SETTLEMENT).text(48)).domestic
    assert (asked.debit_fen, asked.debit_count) == (1350, 3)
    assert (asked.credit_fen, asked.credit_count) == (300, 1)
    assert K.UPLOAD not in host.kinds()
    end = host.last(K.UPLOAD_END)
    assert (end.text(60)[8:11], parse_count(end.text(48))) == ("207", 0)
    assert at("sale", "--amount", "1", *CARD)["batch"] == "000008"


def test_different_totals_upload_everything(at: At, host: PosHost, tmp_path: Path) -> None:
    """Flag 2: blocks of eight, PANs as far as they are given, 202 with the count."""
    host.totals = lambda said: otherwise(said, 1)
    for number in range(8):
        at("sale", "--amount", str(100 + number), "--pan", PAN if number else OTHER_PAN)
    at("sale", "--amount", "500", "--chip", "--pan", PAN)
    at("scan", "--amount", "50", "--code", CODE)
    row = at("settle", "--pan", PAN)
    assert (row["totals"], row["uploaded"], row["without_card"]) == ("different", 10, 1)
    uploads = host.of(K.UPLOAD)
    lines = [line for one in uploads if 48 in one.fields for line in parse_lines(one.text(48))]
    assert [line.amount_fen for line in lines] == [*range(100, 108), 50]
    assert [line.pan for line in lines] == ["", *[PAN] * 7, ""]
    (chip,) = [one for one in uploads if 62 in one.fields]
    assert (chip.text(60)[8:11], chip.text(2), parse_chip_line(chip.data(62)).amount_fen) == (
        "205", PAN, 500,
    )  # fmt: skip
    end = host.last(K.UPLOAD_END)
    assert (end.text(60)[8:11], parse_count(end.text(48))) == ("202", 10)
    assert state_of(tmp_path)["journal"] == []
    assert not any(one.missing for one in host.heard)


def test_a_settlement_that_stops_on_the_way_can_be_made_again(at: At, host: PosHost) -> None:
    """Silence in the middle: the batch stays open, nothing is forgotten."""
    at("sale", "--amount", "1000", *CARD)
    host.script(K.UPLOAD_END, Turn(hangs_up=True))
    assert "hung up" in at("settle", status=1).stderr
    row = at("settle")
    assert (row["batch"], row["next_batch"]) == ("000007", "000008")
    debits = [parse_totals(one.text(48)).domestic.debit_fen for one in host.of(K.SETTLEMENT)]
    assert debits == [1000, 1000]


def test_a_settlement_that_is_refused_leaves_the_batch_open(at: At, host: PosHost) -> None:
    at("sale", "--amount", "1000", *CARD)
    host.script(K.SETTLEMENT, Turn(code="77"))
    row = at("settle", status=1)
    assert (row["response_code"], row["next_batch"], row["host_totals"]) == ("77", "000007", None)


def test_a_settlement_slip_shows_both_sides(at: At, host: PosHost) -> None:
    host.totals = lambda said: SettlementTotals(said.domestic.plus(debit_fen=500))
    at("sale", "--amount", "1000", *CARD)
    slip = at("settle", "--pan", PAN, as_json=False).stdout
    for words in ("批结算", "+¥10.00 (1)", "+¥15.00 (2)", "不平", "000008"):
        assert words in slip


def test_a_download_of_blocks(at: At, host: PosHost) -> None:
    """Asked again while there is more, saying how many entries are there; then its end."""
    entries = [("DF01", bytes([number])) for number in range(3)]
    more = build_block(DownloadBlock(BlockMark.MORE, tuple(entries[:2])))
    last = build_block(DownloadBlock(BlockMark.LAST, tuple(entries[2:])))
    host.script(K.DOWNLOAD, Turn(fields={62: more}), Turn(fields={62: last}))
    row = at("download", "parameters")
    assert row["entries"] == ["DF010100", "DF010101", "DF010102"]
    first, second = host.of(K.DOWNLOAD)
    assert (first.data(62), parse_query(second.data(62))) == (b"", 2)
    assert host.last(K.DOWNLOAD_END).text(60)[8:11] == "361"
    assert at("download", "nonsense", status=2).exit_code == 2


def test_a_download_by_name(at: At, host: PosHost) -> None:
    """Keys: the list, then each by RID and index."""
    names = [(("9F06", bytes(5)), ("9F22", bytes([index])), ("DF05", b"3012")) for index in (1, 2)]
    listed = build_block(DownloadBlock(BlockMark.LIST_END, (*names[0], *names[1])))
    host.script(K.QUERY, Turn(fields={62: listed}))
    for name in names:
        block = build_block(DownloadBlock(BlockMark.LAST, (*name[:2], ("DF02", b"modulus"))))
        host.script(K.DOWNLOAD, Turn(fields={62: block}))
    row = at("download", "keys")
    assert len(row["entries"]) == 2
    assert [ber_items(one.data(62)) for one in host.of(K.DOWNLOAD)] == [n[:2] for n in names]
    assert (host.last(K.QUERY).text(60)[8:11], row["messages"]) == ("372", 4)


def test_an_endless_download_ends(at: At, host: PosHost) -> None:
    block = build_block(DownloadBlock(BlockMark.MORE, (("DF01", b"1"),)))
    host.script(K.DOWNLOAD, *[Turn(fields={62: block})] * 200)
    assert "99" in at("download", "parameters", status=1).stderr


def test_a_gateway_that_is_not_there_has_sent_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unreachable: said, and nothing to reverse afterwards."""
    with PosHost() as gone:
        pass
    at = caller(gone, tmp_path, monkeypatch)
    said = at("sale", "--amount", "1", *CARD[:2], status=1).stderr
    assert "cannot be reached" in said and "nothing was sent" in said
    assert not (tmp_path / ".posgate-terminal-99000001.json").exists()


def test_a_host_that_hangs_up_leaves_a_reversal(at: At, host: PosHost) -> None:
    host.script(K.SALE, Turn(hangs_up=True))
    assert "hung up" in at("sale", "--amount", "1", *CARD, status=1).stderr
    assert at("sale", "--amount", "1", *CARD)["reversed_first"] == ["000002"]


@pytest.mark.parametrize(
    "words",
    [
        ("sale", "--amount", "1", "--pan", "12x"),
        ("sale", "--amount", "1", "--pan", PAN, "--pin", "1"),
        ("void", "--pin", "1234"),
        ("void",),
        ("refund", "--trace", "abc", "--amount", "1", "--reference", "1" * 12),
        ("reverse", "--trace", "9"),
        ("complete",),
        ("notice",),
        ("status",),
    ],
)
def test_what_cannot_be_said_is_told_in_one_line(
    at: At, host: PosHost, words: tuple[str, ...]
) -> None:
    """Exit status 2, one line, nothing sent; 1 where the options fit, and nothing is there."""
    result = at(*words, status=1 if words[0] == "reverse" else 2)
    assert result.stderr.startswith("posgate: ") and len(result.stderr.splitlines()) == 1
    assert host.kinds() == [K.SIGN_IN]
    assert "12x" not in result.stderr


def test_a_state_file_that_is_none_is_named(at: At, tmp_path: Path) -> None:
    for content in ("{", "[]", '{"journal": [{"kind": "x"}]}', '{"trace": "x"}'):
        (tmp_path / "state.json").write_text(content)
        assert "state.json" in at("echo", "--state", "state.json", status=2).stderr


def test_a_new_batch_at_sign_in_begins_a_new_journal(at: At, host: PosHost, tmp_path: Path) -> None:
    """What was not answered stays, to be reversed under its own batch."""
    at("sale", "--amount", "1", *CARD)
    host.script(K.SALE, Turn(hangs_up=True))
    at("sale", "--amount", "2", *CARD, status=1)
    host.batch = 9
    at("sign-in")
    (line,) = state_of(tmp_path)["journal"]
    assert (line["state"], line["amount_fen"]) == ("sent", 2)
    at("sale", "--amount", "3", *CARD)
    assert host.last(K.REVERSAL).text(60)[2:8] == "000007"
    assert host.last(K.SALE).text(60)[2:8] == "000009"


@pytest.mark.parametrize(
    ("scheme", "mac", "options"),
    [
        ("des", "x9.9", {}),
        ("3des", "x9.19", {"f64": "raw"}),
        ("3des", "cup-ecb", {"mak_bytes": "16", "pad": "F", "f60_digits": "12"}),
        ("3des", "cup-ecb", {"header": "none", "tpdu": "echo"}),
        ("3des-tdk", "cup-ecb", {"encrypts_tracks": "true", "header": "routed"}),
        ("sm4", "cup-sm4", {"f64": "raw"}),
    ],
)
def test_the_terminal_speaks_its_dialect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, mac: str, options: dict[str, str]
) -> None:
    """Every scheme, MAC and option of the command line, with a host that has the same."""
    flags = {"f64": "--f64", "header": "--header", "tpdu": "--tpdu", "pad": "--pad",
             "mak_bytes": "--mak-bytes", "f60_digits": "--f60-digits"}  # fmt: skip
    words = [word for name, value in options.items() if name in flags
             for word in (flags[name], value)]  # fmt: skip
    if "encrypts_tracks" in options:
        words.append("--encrypt-tracks")
    said = orjson.dumps(options).decode()
    with PosHost(key_scheme=scheme, mac=mac, options_json=said) as host:
        at = caller(host, tmp_path, monkeypatch, "--key-scheme", scheme, "--mac", mac, *words)
        at("sign-in")
        pin = () if scheme == "sm4" else ("--pin", PIN)
        assert at("sale", "--amount", "1990", "--pan", PAN, *pin)["approved"]
        sold = host.heard[-1]
        assert sold.mac_is_right
        track = sold.message.text(35)
        if "encrypts_tracks" in options:
            assert not track.startswith(f"{PAN}=3012")
            track = decrypt_track(track, CipherKey(host.keys.track))
        assert track.startswith(f"{PAN}=3012")
        assert len(sold.message.text(60)) == int(options.get("f60_digits", "13"))
        assert at("reverse")["approved"]
        if scheme == "sm4":
            assert "PIN" in at("sale", "--amount", "1", *CARD, status=2).stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--key-scheme", "rsa"),
        ("--mac", "md5"),
        ("--mac", "cup-sm4"),
        ("--key-scheme", "sm4", "--mac", "cup-ecb"),
        ("--pad", "G"),
        ("--mak-bytes", "24"),
        ("--key-scheme", "des", "--mak-bytes", "16"),
        ("--key-scheme", "des", "--mac", "x9.19"),
        ("--encrypt-tracks",),
        ("--f60-digits", "9"),
        ("--ca-file", "none.pem"),
        ("--tmk", "00112233"),
        ("--info", "none.json"),
    ],
)
def test_a_terminal_that_cannot_be_is_refused(
    host: PosHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Exit status 2 and the option's name, before anything is sent."""
    at = caller(host, tmp_path, monkeypatch)
    result = at("echo", *words, status=2)
    assert result.stderr.startswith("posgate: ")
    assert "00112233" not in result.stderr
    assert not host.heard


def test_no_option_before_the_name(at: At) -> None:
    """It would be ignored: it is refused."""
    result = CliRunner().invoke(COMMAND, ["terminal", "--port", "1", "echo"])
    assert result.exit_code == 2


def test_every_line_survives_its_file() -> None:
    """What a line says is what it says after it rested."""

    class NoKeys:
        def unwrap_keys(self, scheme: TerminalScheme, keys: bytes) -> bool:
            return True

        def mac(self, data: bytes) -> bytes:
            return bytes(8)

        def pin_block(self, pin: str, pan: str) -> bytes:
            return bytes(8)

    identity = TerminalIdentity(terminal_id="99000001", merchant_id=MERCHANT_ID)
    terminal = Terminal(identity, NoKeys())
    line = line_of(terminal.ask(asks.sale(magnetic_card(PAN, "3012"), 100)), PAN)
    assert line is not None
    assert read_line(orjson.loads(orjson.dumps(line.as_dict()))) == line
    assert line_of(terminal.echo()) is None


@pytest.mark.parametrize(("more_fen", "count"), [(0, 1), (1, 2)])
def test_an_advice_without_an_answer_goes_up_with_the_batch(
    at: At, host: PosHost, tmp_path: Path, more_fen: int, count: int
) -> None:
    """It cannot be reversed: it is uploaded as a notice, once, and forgotten with its batch."""
    at("sale", "--amount", "900", *CARD)
    host.script(K.REFUND, Turn(hangs_up=True))
    host.totals = lambda said: otherwise(said, more_fen)
    at("refund", "--amount", "100", status=1)
    at("settle", "--pan", PAN)
    (notice,) = host.of(K.NOTICE_UPLOAD)
    assert (notice.text(4), notice.text(11)) == ("000000000100", "000003")
    assert parse_count(host.last(K.UPLOAD_END).text(48)) == count
    assert K.REVERSAL not in host.kinds()
    assert state_of(tmp_path)["journal"] == []


def test_what_the_host_says_unasked_is_no_answer(at: At, host: PosHost) -> None:
    """A push that crosses a sale: the sale's own answer counts."""
    status = PaymentStatus(PaymentState.PAID, "00")
    push = payment_push(
        merchant_id=MERCHANT_ID, terminal_id="99000001", batch="000007", amount_fen=5,
        reference="1" * 12, hhmmss="120000", mmdd="1122", status=status,
    )  # fmt: skip
    host.script(K.SALE, Turn(pushes=(encode_with_mac(push, host.mac),) * 3))
    assert at("sale", "--amount", "900", *CARD)["amount_fen"] == 900


def test_the_guide_names_every_transaction() -> None:
    """And the script's example, and nothing that there is not."""
    guide = (ROOT / "docs" / "terminal.md").read_text(encoding="utf-8")
    table = guide.partition("## Transactions")[2].partition("## What it remembers")[0]
    named = {
        name
        for line in table.splitlines()
        for words in re.findall(r"^\| `posgate terminal ([^ `]+)", line)
        for name in words.split("\\|")
    }
    assert named == {*ROWS, "show-code", "settle", "download"}
