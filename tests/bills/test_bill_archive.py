"""Archives as channels and enemies make them."""

import gzip
import os
import zipfile
from pathlib import Path

import pytest

from channels import bill_archive
from channels.bill_archive import members_of
from channels.bills import BillRefused
from tests.bills.alipay_files import zipped


def whole(path: Path) -> dict[str, bytes]:
    found = {}
    for member in members_of(path):
        with member.opened() as source:
            data = bytearray()
            while piece := source.read(1000):
                data += piece
            found[member.name] = bytes(data)
    return found


def why(path: Path) -> str:
    with pytest.raises(BillRefused) as caught:
        whole(path)
    return caught.value.why


def test_a_zip_with_gbk_names(tmp_path: Path) -> None:
    path = zipped(tmp_path / "b.zip", ("2088_业务明细.csv", b"one" * 999), ("汇总.csv", b"two"))
    assert whole(path) == {"2088_业务明细.csv": b"one" * 999, "汇总.csv": b"two"}


def test_utf8_names_folders_gzip_and_bare_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.mkdir("a")
        archive.writestr("a/明细.csv", b"x")
    assert whole(tmp_path / "b.zip") == {"明细.csv": b"x"}
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"y" * 5000))
    assert whole(tmp_path / "b.csv.gz") == {"b.csv": b"y" * 5000}
    (tmp_path / "b.csv").write_bytes(b"z")
    assert whole(tmp_path / "b.csv") == {"b.csv": b"z"}


@pytest.mark.parametrize(
    "name",
    ["../bill.csv", "a/../../bill.csv", "/etc/bill.csv", "..\\bill.csv", "C:\\bill.csv", "c:x"],
)
def test_a_name_that_leads_elsewhere_refuses_all_of_it(name: str, tmp_path: Path) -> None:
    path = zipped(tmp_path / "b.zip", ("good.csv", b"x"), (name, b"x"))
    assert "leads out" in why(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_small_file_that_becomes_a_large_one_is_refused(tmp_path: Path) -> None:
    bomb = b"0" * (bill_archive.RATIO_FREE_BYTES + 1)
    path = zipped(tmp_path / "b.zip", ("bill.csv", bomb))
    assert path.stat().st_size < 50_000
    assert "more would come out" in why(path)
    (tmp_path / "b.gz").write_bytes(gzip.compress(bomb))
    assert "more comes out" in why(tmp_path / "b.gz")


def test_a_size_that_lies_is_refused(tmp_path: Path) -> None:
    """The directory says 10 bytes, and 30 MB would come out."""
    path = zipped(tmp_path / "b.zip", ("bill.csv", b"0" * 30_000_000))
    raw = path.read_bytes().replace((30_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(raw)
    assert "unpacked" in why(path)


def test_too_much_is_refused_whatever_the_ratio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bill_archive, "MAX_BYTES", 5000)
    path = zipped(tmp_path / "b.zip", ("bill.csv", os.urandom(5001)))
    assert "more would come out" in why(path)
    (tmp_path / "b.csv").write_bytes(b"x" * 5001)
    assert "more comes out" in why(tmp_path / "b.csv")


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    many = [(f"{n}.csv", b"x") for n in range(bill_archive.MAX_MEMBERS + 1)]
    assert "more than" in why(zipped(tmp_path / "b.zip", *many))


def test_damage_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "b.zip", ("bill.csv", os.urandom(3000)))
    sound = path.read_bytes()
    for data in (sound[:-30], sound[:100], sound[:200] + b"?" + sound[201:], b"PK\x03\x04"):
        path.write_bytes(data)
        why(path)
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"x" * 5000)[:-9])
    assert "unpacked" in why(tmp_path / "b.gz")
    assert "cannot be read" in why(tmp_path / "none.zip")
    with zipfile.ZipFile(path, "w"):
        pass
    assert "empty" in why(path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "b.zip", ("bill.csv", b"x"))
    raw = bytearray(path.read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    assert "encrypted" in why(path)
