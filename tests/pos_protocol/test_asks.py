"""A terminal builds every transaction of the table, whole, and reads the answer to it."""

import hashlib
from collections.abc import Callable
from random import Random

import pytest

from pos_protocol import asks, management_asks
from pos_protocol.asks import Ask
from pos_protocol.card import chip_card, magnetic_card
from pos_protocol.codec import Message, decode, encode, encode_with_mac, mac_input
from pos_protocol.dialect import (
    MAK_BYTES,
    STANDARD,
    Dialect,
    HeaderForm,
    MacAlgorithm,
    TpduRule,
)
from pos_protocol.errors import CodecError
from pos_protocol.fields.download import BlockMark, DownloadBlock, build_block, parse_query
from pos_protocol.fields.original import Original, parse_original
from pos_protocol.fields.payment_status import (
    PaymentState,
    PaymentStatus,
    build_payment_status,
    parse_payment_status,
)
from pos_protocol.fields.totals import ClassTotals, SettlementTotals, build_totals, parse_totals
from pos_protocol.fields.upload import ChipLine, UploadLine, parse_lines
from pos_protocol.framing import frame
from pos_protocol.header import HostInstruction, instruction_named
from pos_protocol.session import HostSession, Received, reply_to
from pos_protocol.terminal import (
    AnswerFault,
    Request,
    Terminal,
    TerminalIdentity,
    TerminalScheme,
)
from pos_protocol.tlv import ber_build, ber_items
from pos_protocol.transactions import (
    TRANSACTIONS,
    Transaction,
    TransactionKind,
    identify,
    missing_fields,
    row_of,
)
from signing.pos import MAC_KEY_BYTES, KeyScheme
from tests.fuzz import grammar

K = TransactionKind
PAN = "9900001234567899"
CODE = "289900000000000017"
REFERENCE = "123456789012"
CHIP = ber_build([("9F26", bytes(8)), ("95", b"\x01\x02"), ("9F36", b"\x00\x01"), ("DF31", bytes(5))])  # fmt: skip
SWIPE = magnetic_card(PAN, "3012")
DIP = chip_card(PAN, "3012", CHIP)
DOWNLOADS = ("360", "364", "370", "380", "390", "394")
ORIGINAL = Original("000001", "000007", "1122")
TOTALS = SettlementTotals(ClassTotals(debit_fen=1990, debit_count=1))


class Crypto:
    """A security module without cryptography."""

    def unwrap_keys(self, scheme: TerminalScheme, keys: bytes) -> bool:
        return True

    def mac(self, data: bytes) -> bytes:
        return hashlib.sha256(data).hexdigest()[:8].upper().encode()

    def pin_block(self, pin: str, pan: str) -> bytes:
        return hashlib.sha256(f"{pin}/{pan}".encode()).digest()[:8]

    def encrypt_track(self, track: str) -> str:
        return track.replace("1", "A")


def terminal(dialect: Dialect = STANDARD, scheme: TerminalScheme = TerminalScheme.TDES) -> Terminal:
    identity = TerminalIdentity(
        terminal_id="T0000001", merchant_id="M" * 15, scheme=scheme, dialect=dialect
    )
    return Terminal(identity, Crypto(), batch="000001", track_cipher=Crypto())


SALE_OF_CHIP = "the request whose script or advice is meant"
EVERY: dict[TransactionKind, Callable[[], list[asks.Ask]]] = {
    K.SALE: lambda: [asks.sale(SWIPE, 100), asks.sale(DIP, 100, "123456")],
    K.BALANCE: lambda: [asks.balance(DIP, "123456")],
    K.VOID: lambda: [asks.void(DIP, 100, ORIGINAL, REFERENCE)],
    K.REFUND: lambda: [asks.refund(SWIPE, 50, ORIGINAL, REFERENCE),
                       asks.refund(SWIPE, 50, Original("000001", "000007"), REFERENCE, "CUP")],
    K.PREAUTH: lambda: [asks.preauth(DIP, 100, "123456")],
    K.PREAUTH_ADDITIONAL: lambda: [asks.preauth_additional(DIP, 100)],
    K.PREAUTH_MOTO: lambda: [asks.by_card(K.PREAUTH_MOTO, SWIPE, 100)],
    K.PREAUTH_VOID: lambda: [asks.preauth_void(DIP, 100, ORIGINAL, "654321")],
    K.COMPLETION: lambda: [asks.completion(DIP, 100, ORIGINAL, "654321")],
    K.COMPLETION_ADVICE: lambda: [asks.completion_advice(DIP, 100, ORIGINAL, "654321")],
    K.COMPLETION_VOID: lambda: [asks.completion_void(DIP, 100, ORIGINAL, REFERENCE, "654321")],
    K.INSTALMENT_SALE: lambda: [asks.by_card(K.INSTALMENT_SALE, SWIPE, 100)],
    K.POINTS_SALE: lambda: [asks.by_card(K.POINTS_SALE, SWIPE, 100)],
    K.MOTO_SALE: lambda: [asks.by_card(K.MOTO_SALE, SWIPE, 100)],
    K.OFFLINE_SALE: lambda: [asks.offline_sale(SWIPE, 100, "654321")],
    K.ADJUSTMENT: lambda: [asks.adjustment(SWIPE, 120, ORIGINAL)],
    K.TIP: lambda: [asks.tip(SWIPE, 120, 20, ORIGINAL)],
    K.OFFLINE_ECASH: lambda: [asks.by_card(K.OFFLINE_ECASH, DIP, 100)],
    K.ECASH_LOAD: lambda: [asks.by_card(K.ECASH_LOAD, DIP, 100, type_code=code)
                           for code in ("45", "46", "47")],
    K.QR_SALE: lambda: [asks.qr_sale(CODE, 100)],
    K.QR_VOID: lambda: [asks.qr_void(100, ORIGINAL, voucher="58210526789789570802")],
    K.QR_REFUND: lambda: [asks.qr_refund(50, ORIGINAL, code=CODE)],
    K.QR_QUERY: lambda: [asks.qr_query(code=CODE), asks.qr_query(ORIGINAL, voucher="5821")],
    K.STATUS_INQUIRY: lambda: [asks.status_inquiry(ORIGINAL)],
    K.LIVE_CODE: lambda: [asks.live_code(100)],
    K.SETTLEMENT: lambda: [management_asks.settlement(TOTALS, "001")],
    K.UPLOAD: lambda: [
        management_asks.upload_lines([UploadLine(trace="000007", pan=PAN, amount_fen=100)]),
        *(management_asks.upload_chip(DIP, "000007", ChipLine(amount_fen=1, has_failed=failed),
                                      totals_agreed=agreed)
          for failed in (False, True) for agreed in (False, True)),
    ],
    K.UPLOAD_END: lambda: [management_asks.upload_end(1, totals_agreed=agreed) for agreed in (True, False)],
    K.DOWNLOAD: lambda: [management_asks.download(code) for code in DOWNLOADS],
    K.DOWNLOAD_END: lambda: [management_asks.download_end(code) for code in DOWNLOADS],
    K.QUERY: lambda: [management_asks.query(code) for code in ("362", "372", "373", "382")],
    K.MASTER_KEY_DOWNLOAD: lambda: [Ask(row=row_of(K.MASTER_KEY_DOWNLOAD, code)) for code in ("400", "138")],
}  # fmt: skip
REVERSIBLE = {row.original for row in TRANSACTIONS if row.original is not None}


def requests(device: Terminal) -> list[Request]:
    """One of each, with the reversals of those that can be reversed."""
    made = [device.sign_in(), device.sign_out(), device.echo()]
    for build in EVERY.values():
        made += [device.ask(ask) for ask in build()]
    dip = device.ask(asks.sale(DIP, 100))
    answer = reply_to(dip.message, {39: "00", 13: "1122", 37: REFERENCE})
    made.append(device.ask(management_asks.script_result(dip, answer, CHIP)))
    advice = device.ask(asks.offline_sale(SWIPE, 100, "654321"))
    made.append(device.ask(management_asks.notice_upload(advice)))
    for request in tuple(made):
        row = identify(request.message)
        if row is not None and row.kind in REVERSIBLE:
            made.append(device.reversal(request, "98", auth_code="654321"))
    return made


def host_sees(request: Request, dialect: Dialect = STANDARD) -> tuple[Message, Transaction]:
    (event,) = HostSession(dialect=dialect).receive_data(frame(request.payload))
    assert isinstance(event, Received)
    assert event.message == request.message
    row = identify(event.message)
    assert row is not None
    assert missing_fields(event.message, row) == ()
    if row.has_mac:
        assert event.message.data(64) == Crypto().mac(mac_input(event.payload))
    else:
        assert 64 not in event.message.fields
    return event.message, row


def test_every_row_of_the_table_can_be_asked_for() -> None:
    """Each request is complete, named as what was asked, with a MAC exactly where one is due."""
    seen = {host_sees(request)[1] for request in requests(terminal())}
    missing = [row for row in TRANSACTIONS if row not in seen]
    # 001, 004, 005, 006 are other terminals' sign-ins; receipts are left out
    assert {row.kind for row in missing} == {K.SIGN_IN, K.E_RECEIPT}
    assert {row.management for row in missing if row.kind is K.SIGN_IN} == {"001", "004", "005", "006"}  # fmt: skip


@pytest.mark.parametrize("scheme", TerminalScheme)
def test_every_key_scheme_signs_in(scheme: TerminalScheme) -> None:
    _, row = host_sees(terminal(scheme=scheme).sign_in())
    assert row.kind is K.SIGN_IN
    assert row.management == scheme.value


def test_every_answer_is_read_and_every_wrong_one_refused() -> None:
    """Approved with what the table says an answer has; another trace or terminal proves nothing."""
    device = terminal()
    rng = Random(1)
    for request in requests(device):
        message, row = host_sees(request)
        drawn = grammar.answer(rng, row).fields
        added = {n: v for n, v in drawn.items() if n in row.added and n != 64}
        if 39 in added:
            added[39] = "00"
        if row.kind is K.SETTLEMENT:
            added[48] = build_totals(TOTALS)
        answer = reply_to(message, added)
        payload = encode_with_mac(answer, Crypto().mac) if row.has_mac else encode(answer)
        outcome = device.read(request, payload)
        assert outcome.approved, (row, outcome.detail)
        assert outcome.reversal_reason == ""
        assert device.read(request, payload[:-1]).fault is not None
        answer.fields[41] = "T0000002"
        other = encode_with_mac(answer, Crypto().mac) if row.has_mac else encode(answer)
        assert device.read(request, other).fault is AnswerFault.MISMATCH


def test_every_dialect_reaches_the_host_and_comes_back() -> None:
    """Header, TPDU rule, pads and F60 of the dialect; the host reads them all alike."""
    rng = Random(2)
    for _ in range(60):
        dialect = grammar.dialect(rng)
        device = terminal(dialect)
        for request in (device.sign_in(), device.sale(DIP, 100, "1234"), device.qr_sale(CODE, 1)):
            message, row = host_sees(request, dialect)
            assert len(message.header) == dialect.header.value
            answer = reply_to(message, {39: "00", 62: bytes(40)}, dialect=dialect)
            assert (answer.tpdu == message.tpdu) == (dialect.tpdu is TpduRule.ECHO)
            if row.has_mac:
                payload = encode_with_mac(answer, Crypto().mac, dialect)
                assert len(message.text(60)) == dialect.field_60_digits
            else:
                payload = encode(answer, dialect)
            assert device.read(request, payload).approved
            assert encode(decode(payload, dialect), dialect) == payload


def test_a_terminal_without_a_header_is_understood_by_a_host_that_expects_one() -> None:
    """Reading is lenient whatever the dialect says; no instruction can go back."""
    bare = Dialect(header=HeaderForm.NONE)
    device = terminal(bare)
    request = device.echo()
    message, _ = host_sees(request, STANDARD)
    answer = reply_to(message, {39: "00"}, processing=HostInstruction.SIGN_IN_AGAIN)
    assert answer.header == b""
    assert device.read(request, encode(answer)).instruction == 0


def test_a_routed_header_carries_the_instruction_in_its_last_six_bytes() -> None:
    routed = Dialect(header=HeaderForm.ROUTED)
    device = terminal(routed)
    request = device.echo()
    message, _ = host_sees(request, STANDARD)
    answer = reply_to(message, {39: "00"}, processing=HostInstruction.SIGN_IN_AGAIN)
    assert answer.header[:14] == bytes(14)
    assert device.read(request, encode(answer)).instruction == 3
    assert instruction_named(answer.header) is HostInstruction.SIGN_IN_AGAIN


def test_tracks_are_encrypted_where_the_dialect_says_so_and_f53_tells() -> None:
    device = terminal(Dialect(encrypts_tracks=True))
    with_pin = device.sale(SWIPE, 100, "123456").message
    assert with_pin.text(35) == SWIPE.track2.replace("1", "A")
    assert with_pin.text(53) == "2610000000000000"
    assert device.sale(SWIPE, 100).message.text(53) == "0610000000000000"
    assert 53 not in terminal().sale(SWIPE, 100).message.fields
    identity = TerminalIdentity(
        terminal_id="T0000001", merchant_id="M" * 15, dialect=Dialect(encrypts_tracks=True)
    )
    with pytest.raises(ValueError, match="track cipher"):
        Terminal(identity, Crypto())


@pytest.mark.parametrize(
    "options",
    [
        {"pad": "x"},
        {"pad": "00"},
        {"mak_bytes": 16, "mac": MacAlgorithm.X99},
        {"mak_bytes": 8, "mac": MacAlgorithm.CUP_SM4},
        {"field_60_digits": 9},
    ],
)
def test_a_dialect_that_no_terminal_has_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"pad|key|F60"):
        Dialect(**options)  # type: ignore[arg-type] # meant


def test_dialects_name_what_the_cryptography_has() -> None:
    """The names and key lengths are written twice, for neither room knows the other."""
    assert {one.value: MAK_BYTES[one] for one in MacAlgorithm} == dict(MAC_KEY_BYTES)
    assert {one.value for one in TerminalScheme} == {scheme.code for scheme in KeyScheme}


def test_a_void_says_which_sale_it_means() -> None:
    message = terminal().ask(asks.void(DIP, 100, ORIGINAL, REFERENCE)).message
    assert parse_original(message.text(61)) == ORIGINAL
    assert message.text(37) == REFERENCE
    refund = terminal().ask(asks.refund(SWIPE, 5, Original("000001", "000007"), REFERENCE)).message
    assert refund.text(61) == "0000010000070000"
    assert refund.text(63) == "000"


def test_a_script_result_names_its_original_and_sends_the_script_tags_only() -> None:
    device = terminal()
    dip = device.ask(asks.sale(DIP, 100))
    answer = reply_to(dip.message, {39: "00", 13: "1122", 37: REFERENCE})
    script = device.ask(management_asks.script_result(dip, answer, CHIP + ber_build([("5A", b"\x99")]))).message  # fmt: skip
    assert parse_original(script.text(61)) == Original("000001", dip.trace, "1122")
    assert "5A" not in [tag for tag, _ in ber_items(script.data(55))]
    assert "DF31" in [tag for tag, _ in ber_items(script.data(55))]
    assert script.text(11) != dip.trace
    with pytest.raises(CodecError, match="field 55"):
        management_asks.script_result(dip, answer, b"\x9f")


def test_a_notice_is_the_advice_without_its_mac() -> None:
    device = terminal()
    advice = device.ask(asks.offline_sale(SWIPE, 100, "654321"))
    notice = device.ask(management_asks.notice_upload(advice)).message
    assert notice.mti == "0320"
    assert notice.fields == {n: v for n, v in advice.message.fields.items() if n != 64}


def test_a_day_is_settled_uploaded_and_the_batch_closed() -> None:
    """0500 answered without F39, by flags; upload blocks; then the next batch."""
    device = terminal()
    settle = device.ask(management_asks.settlement(TOTALS, "001"))
    message, _ = host_sees(settle)
    host = SettlementTotals(ClassTotals(debit_fen=2000, debit_count=1))
    judged = parse_totals(message.text(48)).judged_by(host)
    outcome = device.read(settle, encode(reply_to(message, {48: build_totals(judged)})))
    assert outcome.approved
    assert outcome.message is not None
    assert not parse_totals(outcome.message.text(48)).are_equal
    assert device.read(settle, encode(reply_to(message, {}))).detail == "no F39"
    line = UploadLine(trace="000007", pan=PAN, amount_fen=1990)
    upload, _ = host_sees(device.ask(management_asks.upload_lines([line])))
    assert parse_lines(upload.text(48)) == (line,)
    device.close_batch()
    assert device.batch == "000002"
    device.batch = "999999"
    device.close_batch()
    assert device.batch == "000001"


def test_a_download_does_not_touch_the_keys() -> None:
    """0810 of a download has an F62 that is no keys, and the terminal stays as it was."""
    device = terminal()
    device.signed_in = True
    request = device.ask(management_asks.download("370"))
    message, _ = host_sees(request)
    block = build_block(DownloadBlock(BlockMark.LAST, (("9F06", bytes(5)),)))
    assert device.read(request, encode(reply_to(message, {39: "00", 62: block}))).approved
    assert device.batch == "000001"
    assert request.trace == ""
    assert parse_query(device.ask(management_asks.query("372", 7)).message.data(62)) == 7


def test_an_inquiry_is_answered_under_the_mac() -> None:
    """Paid, not paid or still asking is in F62; a forged answer is not believed."""
    device = terminal()
    request = device.ask(asks.status_inquiry(ORIGINAL))
    message, row = host_sees(request)
    assert row.is_private
    status = PaymentStatus(PaymentState.PAID, "00")
    answer = reply_to(message, {39: "00", 37: REFERENCE, 62: build_payment_status(status)})
    outcome = device.read(request, encode_with_mac(answer, Crypto().mac))
    assert outcome.approved
    assert outcome.message is not None
    assert parse_payment_status(outcome.message.data(62)) == status
    assert device.read(request, encode(answer)).fault is AnswerFault.BAD_MAC


def test_a_partial_approval_without_a_mac_is_not_believed() -> None:
    """Whatever counts as approved needs its MAC, not only 00."""
    device = terminal()
    request = device.sale(SWIPE, 100)
    answer = reply_to(host_sees(request)[0], {39: "10", 4: "000000000001"})
    assert device.read(request, encode(answer)).fault is AnswerFault.BAD_MAC


def test_a_signed_out_terminal_is_signed_out() -> None:
    device = terminal()
    device.signed_in = True
    request = device.sign_out()
    device.read(request, encode(reply_to(host_sees(request)[0], {39: "00"})))
    assert not device.signed_in


def test_an_ask_shows_no_card() -> None:
    assert PAN not in repr(asks.sale(DIP, 100, "123456"))
    assert CODE not in repr(asks.qr_sale(CODE, 100))


def test_an_amount_that_has_no_form_is_refused() -> None:
    with pytest.raises(CodecError, match="field 4"):
        asks.sale(SWIPE, 10**12)
    with pytest.raises(CodecError, match="field 4"):
        asks.qr_sale(CODE, -1)
