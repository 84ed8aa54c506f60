"""The bugs that the simulation must find: small edits of the real code, as data.

Rules: each text must be found exactly once in its file, or the run of the mutants fails:
a bug that is planted nowhere would prove nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """In ``file``, ``old`` becomes ``new``."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A bug that somebody could make."""

    name: str
    edits: tuple[Edit, ...]


def _mutant(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, (Edit(file, old, new),))


_PAID_BY_ALIPAY = (
    "        return call_once(\n"
    "            Answer,\n"
    "            lambda: build_pay(request, self._account, *self._moment()),\n"
    "            self._send,\n"
    "            lambda heard: read_pay(heard, self._account, request.order_no),\n"
    "        )\n"
)
_PAID_BY_ALIPAY_ITSELF = (
    "        from channels.port import AnswerLost\n"
    "        async def itself() -> Answer:\n"
    "            built = build_pay(request, self._account, *self._moment())\n"
    "            try:\n"
    "                return read_pay(await self._send(built), self._account, request.order_no)\n"
)

MUTANTS = (
    Mutant(
        "the unique key of orders is dropped",
        (
            Edit(
                "gateway/store/statements.py",
                'insert("payments", PAYMENT_COLUMNS) + " ON CONFLICT (merchant_no, door, order_key)'
                ' DO NOTHING"',
                'insert("payments", PAYMENT_COLUMNS)',
            ),
            Edit(
                "gateway/store/migrations/0001_initial.py",
                '"unique_together": (("merchant_no", "door", "order_key"),),',
                "",
            ),
        ),
    ),
    _mutant(
        "callers are woken before the commit",
        "gateway/store/lane.py",
        "            outcomes = await self._applier.apply([change for change, _ in batch])\n",
        "            for _, early in batch:\n"
        "                if not early.done():\n"
        "                    early.set_result(True)\n"
        "            outcomes = await self._applier.apply([change for change, _ in batch])\n",
    ),
    _mutant(
        "the amount that the channel names is not compared",
        "domain/settle.py",
        "    if amount_fen is not None and amount_fen != order.amount_fen:\n"
        '        return "amount_mismatch"\n',
        "",
    ),
    _mutant(
        "a time-out of pay is booked as declined",
        "channels/alipay/adapter.py",
        _PAID_BY_ALIPAY,
        _PAID_BY_ALIPAY_ITSELF + "            except AnswerLost as fault:\n"
        "                return Answer(verdict=Verdict.DECLINED, channel_message=str(fault))\n"
        "        return itself()\n",
    ),
    _mutant(
        "a silent card host counts as a decline",
        "channels/unionpay/card_adapter.py",
        "        except AnswerLost as fault:\n"
        "            return told(_Fault(Verdict.UNKNOWN, str(fault)))\n",
        "        except AnswerLost as fault:\n"
        "            return told(_Fault(Verdict.DECLINED, str(fault)))\n",
    ),
    _mutant(
        "a refund reserves without compare-and-set",
        "gateway/store/refunds.py",
        "    key = (order.payment_id, order.merchant_no, standing.version - 1)\n"
        "    return sql.MOVE_PAYMENT, standing_row(standing) + key\n",
        '    move = sql.MOVE_PAYMENT.replace("version = ?", "version <= ? + 9")\n'
        "    key = (order.payment_id, order.merchant_no, standing.version - 1)\n"
        "    return move, standing_row(standing) + key\n",
    ),
    _mutant(
        "a payment moves without compare-and-set",
        "gateway/store/statements.py",
        '    "WHERE id = ? AND merchant_no = ? AND version = ?"\n',
        '    "WHERE id = ? AND merchant_no = ? AND version <= ? + 9"\n',
    ),
    _mutant(
        "a refund is retried under a new number",
        "gateway/refund_settlement.py",
        '        answer = await self._call(work, "refund")\n',
        "        if before:\n"
        "            import dataclasses\n"
        "            fresh = work.ability.new_refund_no()\n"
        "            work.request = dataclasses.replace(work.request, refund_no=fresh)\n"
        '        answer = await self._call(work, "refund")\n',
    ),
    _mutant(
        "a lost payment is paid again under a new number",
        "channels/alipay/adapter.py",
        _PAID_BY_ALIPAY,
        _PAID_BY_ALIPAY_ITSELF + "            except AnswerLost:\n"
        "                again = replace(request, order_no=self._new_number())\n"
        "                built = build_pay(again, self._account, *self._moment())\n"
        "                return read_pay(await self._send(built), self._account, again.order_no)\n"
        "        return itself()\n",
    ),
    _mutant(
        "not found is booked as declined",
        "channels/alipay/wire.py",
        "    return Answer(\n        verdict=Verdict.UNKNOWN,\n        order_no=text_of(fields",
        "    return Answer(\n"
        "        verdict=Verdict.DECLINED if sub_code == TRADE_NOT_EXIST else Verdict.UNKNOWN,\n"
        "        order_no=text_of(fields",
    ),
    _mutant(
        "a reversal is answered before its undo is persisted",
        "gateway/pos/reversals.py",
        "            live = await self._payments.cancel(payment, accepted)\n",
        "            if await self._store.save_reply(accepted(payment, None)):\n"
        "                async def later() -> None:\n"
        "                    await self._payments.cancel(payment)\n"
        "                self._payments.spawn(later())\n"
        "                return teller.frame\n"
        "            live = await self._payments.cancel(payment, accepted)\n",
    ),
    _mutant(
        "the reply is not kept",
        "gateway/booking.py",
        "            postings=move.postings,\n            reply=reply,\n",
        "            postings=move.postings,\n            reply=None,\n",
    ),
    _mutant(
        "a kept reply is encoded anew",
        "gateway/pos/sales.py",
        "        kept = await self._replies.find(exchange)\n"
        "        if kept is not None:\n"
        "            return kept\n"
        "        payment = await self._payments.watch(payment, self._patience_s, is_settled)\n"
        "        return await self._told(exchange, payment, live, teller)\n",
        "        payment = await self._payments.watch(payment, self._patience_s, is_settled)\n"
        "        teller(payment, None)\n"
        "        return teller.frame\n",
    ),
    _mutant(
        "a repeat with other content is taken for the same",
        "gateway/payments.py",
        "    if payment.order.fingerprint != draft.fingerprint:\n",
        "    if False:\n",
    ),
    _mutant(
        "a refund's repeat with other content is taken for the same",
        "gateway/refunds.py",
        "    if not is_its_own or order.fingerprint != ask.fingerprint:\n",
        "    if not is_its_own:\n",
    ),
    _mutant(
        "refunds under way are not counted",
        "domain/refund.py",
        "    return standing.captured_fen - standing.returned_fen - standing.refunding_fen\n",
        "    return standing.captured_fen - standing.returned_fen\n",
    ),
    _mutant(
        "a payment is closed by the clock alone",
        "domain/payment.py",
        "            _E.ANSWER_LOST: SAME,\n"
        "            _E.AUTHORIZE: _S.AUTHORIZED,\n"
        "            _E.PAID: _S.SUCCEEDED,\n"
        "            _E.DECLINE: _S.FAILED,\n"
        "            _E.NOT_SENT: SAME,\n"
        "            _E.UNDO: _S.REVERSING,\n"
        "            _E.GIVE_UP: _S.REVERSING,\n"
        "            _E.UNDONE_UNPAID: _S.CLOSED,\n"
        "            _E.UNDONE_PAID: _S.REVERSED,\n"
        "        },\n"
        "        _S.UNKNOWN: {\n",
        "            _E.ANSWER_LOST: SAME,\n"
        "            _E.AUTHORIZE: _S.AUTHORIZED,\n"
        "            _E.PAID: _S.SUCCEEDED,\n"
        "            _E.DECLINE: _S.FAILED,\n"
        "            _E.NOT_SENT: SAME,\n"
        "            _E.UNDO: _S.REVERSING,\n"
        "            _E.GIVE_UP: _S.CLOSED,\n"
        "            _E.UNDONE_UNPAID: _S.CLOSED,\n"
        "            _E.UNDONE_PAID: _S.REVERSED,\n"
        "        },\n"
        "        _S.UNKNOWN: {\n",
    ),
    _mutant(
        "giving up undoes what is paid",
        "domain/payment.py",
        "            _E.UNDO: _S.REVERSING,\n"
        "            _E.GIVE_UP: SAME,\n"
        "            _E.UNDONE_UNPAID: SAME,\n"
        "            _E.UNDONE_PAID: _S.REVERSED,\n"
        "        },\n"
        "        _S.FAILED: {\n",
        "            _E.UNDO: _S.REVERSING,\n"
        "            _E.GIVE_UP: _S.REVERSING,\n"
        "            _E.UNDONE_UNPAID: SAME,\n"
        "            _E.UNDONE_PAID: _S.REVERSED,\n"
        "        },\n"
        "        _S.FAILED: {\n",
    ),
    _mutant(
        "the MAC of a card answer is not checked",
        "channels/unionpay/card_wire.py",
        "        if mac_matches(key.code(covered), code):\n",
        "        if True:\n",
    ),
    _mutant(
        "the signature of an Alipay answer is not checked",
        "signing/alipay.py",
        "    if not verify_sha256(",
        "    if False and not verify_sha256(",
    ),
    Mutant(
        "an answer about another order is believed",
        (
            Edit(
                "channels/alipay/envelope.py",
                '    if text_of(fields, "out_trade_no") not in ("", order_no):\n',
                "    if False:\n",
            ),
            Edit(
                "channels/alipay/envelope.py",
                '    if fields.get("out_trade_no") != order_no:\n',
                "    if False:\n",
            ),
        ),
    ),
    _mutant(
        "a reversal that comes before its sale is not remembered",
        "gateway/pos/reversals.py",
        "        return await self._payments.refuse_beforehand(order, reply)\n",
        "        return await self._store.save_reply(reply)\n",
    ),
    _mutant(
        "an undo that was not answered counts as done",
        "gateway/settlement.py",
        "            case Verdict.PENDING | Verdict.NOT_SENT | Verdict.UNKNOWN:\n"
        "                return False\n",
        "            case Verdict.PENDING | Verdict.NOT_SENT | Verdict.UNKNOWN:\n"
        "                happened = Happened(event=Event.UNDONE_UNPAID, at_ms=now_ms)\n"
        "                await self.apply(live, happened, channel)\n"
        "                return True\n",
    ),
    _mutant(
        "an undo that is under way has no job",
        "gateway/booking.py",
        "        open_ = after.standing.status in UNSETTLED and not after.standing.parked_reason\n",
        "        open_ = after.standing.status in UNSETTLED and not after.standing.parked_reason\n"
        '        open_ = open_ and after.standing.status.value != "reversing"\n',
    ),
    _mutant(
        "a claim opens no job",
        "gateway/store/steps.py",
        "    if claim.due_at_ms is not None:\n",
        "    if False and claim.due_at_ms is not None:\n",
    ),
    _mutant(
        "the fence of a lease is ignored",
        "gateway/store/jobs.py",
        'given_back = ? WHERE id = ? AND fence = ? RETURNING id"\n',
        'given_back = ? WHERE id = ? AND fence >= 0 * ? RETURNING id"\n',
    ),
    _mutant(
        "a lease is not renewed during a pause",
        "gateway/settlement.py",
        "            kept = await self._store.renew(JobKind.SETTLE, payment_id, due_at_ms, live.fence)\n",
        "            kept = True\n",
    ),
    _mutant(
        "what took too long to claim is sent all the same",
        "gateway/payments.py",
        "        if claimed and self._clock.now_ms() > due_at_ms - int(route.channel.timeout_s * 1000):\n",
        "        if claimed and due_at_ms < 0:\n",
    ),
    Mutant(
        "card numbers are handed out again after a restart",
        (
            Edit(
                "channels/unionpay/card_numbers.py",
                '                first = await self._take_sequence(f"{self._name}:{day}", BLOCK)\n',
                '                first = 0 * await self._take_sequence(f"{self._name}:{day}", BLOCK)\n',
            ),
            Edit(
                "gateway/store/migrations/0001_initial.py",
                '"unique_together": (("channel_order_no", "channel", "account_id"),),',
                "",
            ),
        ),
    ),
    _mutant(
        "a payer who is still acting is told as paid",
        "gateway/pos/translate.py",
        "    if standing.status in _APPROVES and not standing.parked_reason:\n",
        "    if standing.status in (Status.SUCCEEDED, Status.REVERSING):\n",
    ),
    _mutant(
        "a till is told while the payer is still acting",
        "gateway/booking.py",
        "        tellable = is_tellable(after)\n",
        "        tellable = after.standing.status.value != 'submitted'\n",
    ),
    _mutant(
        "a fault after the payment is answered as a refusal",
        "gateway/pos/sales.py",
        '            self._log.error("silent", payment_id=exchange.payment_id, reason=error.message)\n'
        "            return None\n",
        '            raise RefusedError("96", error.message) from error\n',
    ),
    _mutant(
        "what could not be made durable is told",
        "gateway/booking.py",
        "            except Unavailable:\n"
        "                await asyncio.sleep(pause_s)\n"
        "        return await self._store.advance(change)\n",
        "            except Unavailable:\n"
        "                await asyncio.sleep(pause_s)\n"
        "        return True\n",
    ),
    _mutant(
        "a commit that failed is taken for a commit",
        "gateway/store/lane.py",
        "                _fail(waiting, Unavailable(error.message))\n",
        "                waiting[1].set_result(True)\n",
    ),
    _mutant(
        "the ledger misses the money that went back",
        "domain/settle.py",
        "        postings += reversal(*accounts(order), captured_fen - returned_fen, order.currency)\n",
        "",
    ),
    _mutant(
        "a capture is posted on one side only",
        "domain/ledger.py",
        "        Posting(entry, debit, amount_fen, currency),\n"
        "        Posting(entry, credit, -amount_fen, currency),\n",
        "        Posting(entry, debit, amount_fen, currency),\n",
    ),
    _mutant(
        "a refund's reservation goes back with its success",
        "domain/refund.py",
        "        refunding_fen=-reserved_fen,\n        returned_fen=order.amount_fen,\n",
        "        refunding_fen=-reserved_fen,\n        returned_fen=0,\n",
    ),
    _mutant(
        "a refund that was not answered counts as refused",
        "gateway/refund_settlement.py",
        "        case Verdict.UNKNOWN:\n            return RefundEvent.ANSWER_LOST\n",
        "        case Verdict.UNKNOWN:\n            return RefundEvent.DECLINE\n",
    ),
    _mutant(
        "a notice is not written with what it tells",
        "gateway/booking.py",
        "            reply=reply,\n            notice=notice,\n",
        "            reply=reply,\n            notice=None,\n",
    ),
    _mutant(
        "every notice has the number one",
        "gateway/notices.py",
        "        order, sequence = payment.order, payment.standing.notices\n",
        "        order, sequence = payment.order, 1\n",
    ),
    _mutant(
        "a notice is booked before it is acknowledged",
        "gateway/notifications.py",
        "        if 200 <= status <= 299:\n",
        "        if 200 <= status <= 599:\n",
    ),
    _mutant(
        "a lost answer of a merchant counts as an acknowledgement",
        "gateway/notifications.py",
        "        except (NotSent, AnswerLost) as fault:\n"
        "            return _Outcome(str(fault), is_endpoints_fault=True, is_away=True)\n",
        "        except (NotSent, AnswerLost) as fault:\n            return _Outcome()\n",
    ),
    _mutant(
        "notices are signed over the wrong bytes",
        "gateway/notifications.py",
        "answer_string(timestamp, nonce, body)",
        "answer_string(timestamp, nonce, body[:-1])",
    ),
    _mutant(
        "what is due is not taken up again",
        "gateway/store/jobs.py",
        'WHERE kind = ? AND lane = ? AND due_at_ms <= ? ORDER BY due_at_ms LIMIT ? {skip_locked}) "',
        'WHERE kind = ? AND lane = ? AND due_at_ms <= ? - 9000000 ORDER BY due_at_ms LIMIT ? {skip_locked}) "',
    ),
    _mutant(
        "a void that was reversed before it came is not refused",
        "gateway/pos/returns.py",
        "            if await self._refunds.refuse_beforehand(payment, ask):\n",
        "            if True:\n",
    ),
    _mutant(
        "a void that was begun counts as never come",
        "gateway/pos/returns.py",
        "                return known.standing.status is RefundStatus.FAILED\n",
        "                return True\n",
    ),
    _mutant(
        "a kept reply goes out under keys that are gone",
        "gateway/pos/teller.py",
        "        return exchange.again(self._sealer.open(stored.reply_sealed, key.encode()))\n",
        "        return self._sealer.open(stored.reply_sealed, key.encode())\n",
    ),
    _mutant(
        "what a second wallet paid of an order is not returned",
        "domain/payment.py",
        "        _S.CLOSED: {\n"
        "            _E.SUBMIT: ILLEGAL,\n"
        "            _E.PAYER_ACTING: SAME,\n"
        "            _E.ANSWER_LOST: SAME,\n"
        "            _E.AUTHORIZE: _S.REVERSING,\n"
        "            _E.PAID: _S.REVERSING,\n",
        "        _S.CLOSED: {\n"
        "            _E.SUBMIT: ILLEGAL,\n"
        "            _E.PAYER_ACTING: SAME,\n"
        "            _E.ANSWER_LOST: SAME,\n"
        "            _E.AUTHORIZE: _S.REVERSING,\n"
        "            _E.PAID: SAME,\n",
    ),
    _mutant(
        "the return of a former wallet's money takes the paid order along",
        "domain/checkout_step.py",
        "    if attempt.id != checkout.current_id:\n        return None\n",
        "",
    ),
    _mutant(
        "a day's sum is looked at and never counted",
        "gateway/payments.py",
        "claim_of(payment, draft, judged.spends, due_at_ms)",
        "claim_of(payment, draft, (), due_at_ms)",
    ),
)
