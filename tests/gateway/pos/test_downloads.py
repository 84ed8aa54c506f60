"""What terminals download: files read at the start, walked through without our keeping a place."""

import json
from pathlib import Path

import pytest

from domain.errors import ConfigurationError
from gateway.config import DownloadsSection
from gateway.pos.catalogue import Catalogue, DownloadKind, read_catalogue
from gateway.pos.downloads import Downloads
from gateway.pos.translate import RefusedError
from gateway.store.port import Store
from pos_protocol import management_asks
from pos_protocol.asks import Ask
from pos_protocol.codec import Message
from pos_protocol.fields.download import BlockMark, DownloadBlock, parse_block
from pos_protocol.header import HostInstruction, instruction_of
from pos_protocol.tlv import ber_build
from pos_protocol.transactions import TransactionKind, row_of
from tests.gateway.pos.careful_till import CarefulTill
from tests.gateway.pos.corner_shop import CornerShop, Template, template
from tests.gateway.pos.one_exchange import Counter, answered

__all__ = ["template"]

RID = bytes.fromhex("A000000333")


def public_key(index: int, *more: tuple[str, bytes], modulus_bytes: int = 128) -> bytes:
    """An invented chip public key."""
    return ber_build(
        [
            ("9F06", RID),
            ("9F22", bytes([index])),
            ("DF05", b"20301231"),
            ("DF02", bytes([index]) * modulus_bytes),
            *more,
        ]
    )


def application(last: int) -> bytes:
    """An invented chip application."""
    return ber_build([("9F06", RID + bytes([1, last])), ("DF01", b"\x00"), ("9F1B", bytes(4))])


KEYS = [public_key(index) for index in range(1, 11)]
APPLICATIONS = [application(last) for last in range(1, 4)]
PARAMETERS = [ber_build([("DF11", b"Corner Shop"), ("DF12", b"60")])]


class Files:
    """A folder with the operator's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.section: dict[str, object] = {}

    def write(self, key: str, text: str) -> None:
        """A file as it stands, configured under ``key``."""
        (self.folder / f"{key}.yaml").write_text(text, encoding="utf-8")
        self.section[key] = f"{key}.yaml"

    def entries(self, key: str, entries: list[bytes]) -> None:
        """A file with these entries."""
        self.write(key, json.dumps([entry.hex() for entry in entries]))

    def read(self) -> Catalogue:
        return read_catalogue(
            DownloadsSection.model_validate(self.section), lambda name: self.folder / name
        )

    def fault(self) -> str:
        """What keeps the gateway from starting."""
        with pytest.raises(ConfigurationError) as caught:
            self.read()
        return caught.value.message


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def full(files: Files) -> Files:
    files.entries("public_keys", KEYS)
    files.entries("applications", APPLICATIONS)
    files.entries("parameters", PARAMETERS)
    return files


@pytest.fixture
async def counter(store: Store) -> Counter:
    counter = Counter(store)
    await counter.provision()
    return counter


class Desk:
    """A terminal that downloads."""

    def __init__(
        self,
        counter: Counter,
        files: Files,
        *,
        announces: bool = False,
        asks_status: bool = False,
    ) -> None:
        self.counter = counter
        self.downloads = Downloads(
            catalogue=files.read(),
            store=counter.store,
            clock=counter.clock,
            announces=announces,
            asks_status=asks_status,
        )

    async def say(self, ask: Ask) -> Message:
        """The answer to one message."""
        exchange = await self.counter.exchange(ask)
        match ask.row.kind:
            case TransactionKind.DOWNLOAD:
                return answered(await self.downloads.download(exchange))
            case TransactionKind.DOWNLOAD_END:
                return answered(await self.downloads.download_end(exchange))
            case _:
                return answered(await self.downloads.query(exchange))

    async def block(self, ask: Ask) -> DownloadBlock:
        """F62 of the answer, which is always an approval."""
        answer = await self.say(ask)
        assert answer.text(39) == "00"
        return parse_block(answer.data(62))

    async def listed(self, query: str) -> list[DownloadBlock]:
        """Every block of a list, as a terminal walks through it."""
        blocks: list[DownloadBlock] = []
        known = 0
        while not blocks or blocks[-1].has_more:
            blocks.append(await self.block(management_asks.query(query, known)))
            known += sum(tag == "9F06" for tag, _ in blocks[-1].tags)
        return blocks

    async def instruction(self) -> int:
        """What the header of an answer would tell the terminal."""
        exchange = await self.counter.exchange(management_asks.download("360"))
        return await self.downloads.instruction_for(exchange.known)


async def test_a_terminal_lists_the_keys_and_fetches_each_by_rid_and_index(
    counter: Counter, full: Files
) -> None:
    desk = Desk(counter, full)
    (block,) = await desk.listed("372")
    assert block.mark is BlockMark.LIST_END
    names = [value for tag, value in block.tags if tag == "9F22"]
    assert names == [bytes([index]) for index in range(1, 11)]
    assert {tag for tag, _ in block.tags} == {"9F06", "9F22", "DF05"}
    for name, entry in zip(names, KEYS, strict=True):
        wanted = ber_build([("9F06", RID), ("9F22", name)])
        fetched = await desk.block(management_asks.download("370", wanted))
        assert fetched.mark is BlockMark.LAST
        assert ber_build(fetched.tags) == entry


async def test_a_list_that_is_longer_than_a_block_is_walked_by_what_the_terminal_has(
    counter: Counter, files: Files
) -> None:
    keys = [public_key(index, modulus_bytes=3) for index in range(99)]
    files.entries("public_keys", keys)
    blocks = await Desk(counter, files).listed("372")
    assert len(blocks) > 2
    assert [block.mark for block in blocks[:-1]] == [BlockMark.MORE] * (len(blocks) - 1)
    assert blocks[-1].mark is BlockMark.LIST_END
    listed = [value for block in blocks for tag, value in block.tags if tag == "9F22"]
    assert listed == [bytes([index]) for index in range(99)]


async def test_the_same_place_of_a_list_is_answered_the_same_again(
    counter: Counter, full: Files
) -> None:
    """The answer was lost, or another process asked: nothing here moves on."""
    desk = Desk(counter, full)
    first = await desk.block(management_asks.query("372", 4))
    assert await desk.block(management_asks.query("372", 4)) == first
    assert next(value for tag, value in first.tags if tag == "9F22") == b"\x05"


async def test_a_terminal_that_has_all_is_told_that_the_list_ends(
    counter: Counter, full: Files
) -> None:
    block = await Desk(counter, full).block(management_asks.query("382", 3))
    assert block == DownloadBlock(BlockMark.LIST_END)


async def test_keys_of_sm2_are_listed_only_to_who_asks_for_them(
    counter: Counter, files: Files
) -> None:
    files.entries("public_keys", [public_key(1), public_key(2, ("DF07", b"\x04"))])
    desk = Desk(counter, files)
    for query, indices in (("372", [b"\x01"]), ("373", [b"\x01", b"\x02"])):
        (block,) = await desk.listed(query)
        assert [value for tag, value in block.tags if tag == "9F22"] == indices


async def test_an_application_is_fetched_by_its_identifier(counter: Counter, full: Files) -> None:
    desk = Desk(counter, full)
    (block,) = await desk.listed("382")
    for (tag, identifier), entry in zip(block.tags, APPLICATIONS, strict=True):
        wanted = ber_build([(tag, identifier)])
        fetched = await desk.block(management_asks.download("380", wanted))
        assert ber_build(fetched.tags) == entry


async def test_an_entry_that_is_not_there_is_an_empty_answer(counter: Counter, full: Files) -> None:
    wanted = ber_build([("9F06", RID), ("9F22", b"\xee")])
    block = await Desk(counter, full).block(management_asks.download("370", wanted))
    assert block == DownloadBlock(BlockMark.EMPTY)


async def test_what_is_not_configured_is_an_empty_answer(counter: Counter, files: Files) -> None:
    desk = Desk(counter, files)
    asks = [management_asks.download(kind.value) for kind in DownloadKind]
    for ask in (*asks, *map(management_asks.query, ("372", "373", "382"))):
        assert await desk.block(ask) == DownloadBlock(BlockMark.EMPTY)


async def test_parameters_come_whole_to_who_says_nothing(counter: Counter, full: Files) -> None:
    desk = Desk(counter, full)
    for wanted in (b"", b"V1.2 of the maker"):
        block = await desk.block(management_asks.download("360", wanted))
        assert block.mark is BlockMark.LAST
        assert ber_build(block.tags) == PARAMETERS[0]


async def test_a_download_in_blocks_goes_on_from_the_number_that_the_terminal_says(
    counter: Counter, files: Files
) -> None:
    entries = [ber_build([("5A", bytes([number]) * 400)]) for number in range(5)]
    files.entries("black_list", entries)
    desk, seen, marks = Desk(counter, files), b"", []
    for known in (0, 2, 4):
        asked = management_asks.query("372", known).fields[62] if known else b""
        assert isinstance(asked, bytes)
        block = await desk.block(management_asks.download("390", asked))
        seen += ber_build(block.tags)
        marks.append(block.mark)
    assert seen == b"".join(entries)
    assert marks == [BlockMark.MORE, BlockMark.MORE, BlockMark.LAST]


@pytest.mark.parametrize("management", ["370", "380"])
async def test_a_name_that_cannot_be_read_is_refused_with_30(
    counter: Counter, full: Files, management: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        await Desk(counter, full).say(management_asks.download(management, b"\x9f\x06\x20"))
    assert caught.value.response_code == "30"


async def test_a_query_that_says_no_number_is_refused_with_30(
    counter: Counter, full: Files
) -> None:
    ask = Ask(row=row_of(TransactionKind.QUERY, "372"), fields={62: b"2xx"})
    with pytest.raises(RefusedError) as caught:
        await Desk(counter, full).say(ask)
    assert caught.value.response_code == "30"


async def test_a_status_upload_is_acknowledged(counter: Counter, full: Files) -> None:
    ask = Ask(row=row_of(TransactionKind.QUERY, "362"), fields={62: b"\x00\x17whatever"})
    assert (await Desk(counter, full).block(ask)).mark is BlockMark.EMPTY


async def test_every_answer_has_what_its_row_of_the_table_says(
    counter: Counter, full: Files
) -> None:
    desk = Desk(counter, full)
    for ask in (
        management_asks.download("370"),
        management_asks.download_end("370"),
        management_asks.query("372"),
    ):
        answer = await desk.say(ask)
        wanted = {41, 42, 60, *ask.row.added} - {32}
        assert wanted <= answer.fields.keys()
        assert answer.mti == {"0800": "0810", "0820": "0830"}[ask.row.mti]


def test_the_door_serves_downloads_without_a_sign_in_and_refuses_what_is_left_out(
    template: Template,
) -> None:
    shop = CornerShop(template)

    async def day() -> None:
        till = CarefulTill(shop)
        for ask, code in (
            (management_asks.query("372"), "00"),
            (management_asks.download("360"), "00"),
            (management_asks.download_end("360"), "00"),
            (Ask(row=row_of(TransactionKind.MASTER_KEY_DOWNLOAD, "400")), "40"),
            (Ask(row=row_of(TransactionKind.E_RECEIPT, "800")), "40"),
        ):
            outcome = await till.exchange(till.terminal.ask(ask))
            assert outcome is not None
            assert outcome.response_code == code

    shop.run(day)
    shop.close()


async def test_nothing_is_announced_unless_the_operator_wants_it(
    counter: Counter, full: Files
) -> None:
    desk = Desk(counter, full)
    assert await desk.instruction() == HostInstruction.NONE
    await desk.say(management_asks.download_end("360"))
    assert await desk.instruction() == HostInstruction.NONE


async def test_what_is_new_is_announced_until_its_download_has_ended(
    counter: Counter, full: Files
) -> None:
    """A terminal's answers, not its connection, say what it has: a restart forgets nothing."""
    told = [await Desk(counter, full, announces=True).instruction()]
    for end in ("360", "370", "380"):
        desk = Desk(counter, full, announces=True)
        for _ in range(2):  # the first answer was lost
            answer = await desk.say(management_asks.download_end(end))
        told.append(instruction_of(answer.header))
    assert told == [
        HostInstruction.DOWNLOAD_PARAMETERS,
        HostInstruction.DOWNLOAD_PUBLIC_KEYS,
        HostInstruction.DOWNLOAD_IC_PARAMETERS,
        HostInstruction.NONE,
    ]
    assert await Desk(counter, full, announces=True).instruction() == HostInstruction.NONE
    full.entries("public_keys", KEYS[:3])
    again = await Desk(counter, full, announces=True).instruction()
    assert again == HostInstruction.DOWNLOAD_PUBLIC_KEYS


async def test_a_status_is_asked_for_once_a_day_after_what_is_new(
    counter: Counter, full: Files
) -> None:
    desk = Desk(counter, full, announces=True, asks_status=True)
    for end in ("360", "370", "380"):
        assert await desk.instruction() != HostInstruction.UPLOAD_STATUS
        await desk.say(management_asks.download_end(end))
    for _ in range(2):  # whoever does not send it is asked again
        assert await desk.instruction() == HostInstruction.UPLOAD_STATUS
    answer = await desk.say(management_asks.query("362"))
    assert instruction_of(answer.header) == HostInstruction.NONE
    assert await Desk(counter, full, asks_status=True).instruction() == HostInstruction.NONE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "not YAML or JSON"),
        ("", "must be a list"),
        ("[]", "must be a list"),
        ("a: b", "must be a list"),
        ("- [0]", "entry 1: not a text"),
        ("- 99990000", "entry 1: not a text"),
        ("- '9F06xx'", "entry 1: not hexadecimal"),
        ("- ''", "entry 1: empty"),
        ("- '9F0605A0'", "entry 1: the data ends inside the value at byte 0"),
        ("- 'DF0101AA'", "entry 1: needs one tag 9F06 of 5 bytes"),
        ("- '9F0605A000000333'", "entry 1: needs one tag 9F22 of 1 bytes"),
    ],
)
def test_a_fault_of_a_file_names_file_entry_and_mend(files: Files, text: str, said: str) -> None:
    files.write("public_keys", text)
    fault = files.fault()
    assert "pos.downloads.public_keys: " in fault
    assert str(files.folder / "public_keys.yaml") in fault
    assert said in fault
    assert "; " in fault


def test_every_faulty_file_is_told_at_once(files: Files) -> None:
    files.write("parameters", "- 'zz'")
    files.section["applications"] = "not_there.yaml"
    fault = files.fault()
    assert "parameters: " in fault
    assert "applications: " in fault
    assert "No such file" in fault


def test_two_entries_of_one_name_are_refused(files: Files) -> None:
    files.entries("public_keys", [public_key(1), public_key(2), public_key(1, modulus_bytes=9)])
    assert "entry 3: the same as entry 1" in files.fault()


def test_an_entry_that_no_block_can_hold_is_refused(files: Files) -> None:
    files.entries("parameters", [ber_build([("DF11", bytes(996))])])
    assert "entry 1: a block has at most 998 bytes" in files.fault()


def test_more_entries_than_a_terminal_can_count_are_refused(files: Files) -> None:
    files.entries("parameters", [ber_build([("DF11", bytes([n]))]) for n in range(100)])
    assert "100 entries; leave at most 99" in files.fault()


def test_no_fault_shows_what_is_in_a_file(files: Files) -> None:
    """A black list holds card numbers."""
    card = "9900001234567899"
    for text in (f"- '5A08{card}FF'", f"- '5A09{card}'", f"- {card}"):
        files.write("black_list", text)
        assert card not in files.fault()
    twins = bytes.fromhex("5A08" + card)
    files.entries("black_list", [twins, twins])
    assert card not in files.fault()


def test_a_file_may_be_plain_yaml(files: Files) -> None:
    files.write("parameters", "# ours\n- 'DF11 0142'   # a comment\n- 'DF120143'\n")
    assert len(files.read().download(DownloadKind.PARAMETERS).entries) == 2
