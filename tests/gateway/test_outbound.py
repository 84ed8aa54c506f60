"""Where a merchant's URL may lead: the SSRF corpus, as text and as addresses."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from gateway.outbound import OutboundPolicy, Refused, read_allowance, read_policy, refusal

DEFAULT = OutboundPolicy()
OPEN = read_policy(
    allow_http=True,
    ports=[443],
    allow=["127.0.0.0/8", "10.9.0.0/16", "fd12::/64", "shop.intern", "Tills"],
)

GOOD = [
    "https://shop.example/paid",
    "https://shop.example",
    "https://shop.example:8443/paid?a=%2F&b=1;c",
    "https://SHOP.Example/paid",
    "https://xn--fiqs8s.example/",
    "https://a_b.shop.example/",
    "https://1e100.example/",
    "https://8.8.8.8/paid",
    "https://[2606:4700:4700::1111]:443/paid",
    "https://[64:ff9b::8.8.8.8]/",
    "https://shop.example/~a/(b)/!$&'*+,;=:@",
]
"""What every reader agrees on, and the public internet."""

BAD = [
    # not a URL, or not of ours
    "", "shop.example", "//shop.example", "https:shop.example", "https:/shop.example",
    "https://", "https:///paid", "https://:443/", "ftp://shop.example/", "file:///etc/passwd",
    "gopher://shop.example:70/_x", "javascript:alert(1)", "http://shop.example/",
    "https://[/", "https://[::1", "https://[v1.x]/", "https://]/",
    # more than one reading
    "https://shop.example@127.0.0.1/", "https://127.0.0.1@shop.example/", "https://@shop.example/",
    "https://u:p@shop.example/", "https://shop.example\\@127.0.0.1/", "https:\\\\shop.example\\",
    "https://shop.example#@127.0.0.1/", "https://shop.example/#x", "https://shop.example#",
    "https://shop example/", "https://shop.example/a b", "https://shop.example\t/",
    "https://shop.example/\r\nHost: x", "https://shop.example\x00.evil.example/",
    " https://shop.example/", "https://shop.example/\n", "https://shop.example/\"<>^`{|}",
    "https://%31%32%37.0.0.1/", "https://127%2e0%2e0%2e1/", "https://shop.example%00/",
    "https://shop..example/", "https://.shop.example/", "https://-a.example/", "https://a-.example/",
    f"https://{'a' * 64}.example/", f"https://{'a.' * 130}example/",
    "https://shop.example./", "https://shop.example../", "https://127.0.0.1./", "https://localhost./",
    "https://shop.example:/", "https://shop.example:0443/", "https://shop.example:443:80/",
    "https://shop.example:0/", "https://shop.example:65536/", "https://shop.example:-1/",
    "https://shop.example:+443/", "https://shop.example:4_4/", "https://shop.example/" + "a" * 512,
    # another alphabet
    "https://①②⑦.⓪.⓪.①/", "https://１２７.０.０.１/", "https://127。0。0。1/", "https://ｌocalhost/",
    "https://shop。example/", "https://例え.example/", "https://shop.example:４４３/",
    "https://faß.example/", "https://shop.example/支付", "https://\u202eelpmaxe/",
    # a port that is nobody's endpoint
    "https://shop.example:22/", "https://shop.example:25/", "https://shop.example:6379/",
    "https://8.8.8.8:53/",
    # names of this machine and of other networks
    "https://localhost/", "https://LOCALHOST/", "https://a.localhost/", "https://redis/",
    "https://printer.local/", "https://metadata.google.internal/", "https://nas.home.arpa/",
    "https://x.lan/", "https://a.onion/",
    # IPv4 in every spelling that inet_aton or a browser takes
    "https://127.0.0.1/", "https://127.1/", "https://127.0.1/", "https://2130706433/",
    "https://017700000001/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0x7f.1/",
    "https://0177.0.0.1/", "https://127.0.0.0x1/", "https://00127.0.0.1/", "https://0/",
    "https://0.0.0.0/", "https://127.0.0.1.0/", "https://256.256.256.256/", "https://1.1.1.0x/",
    "https://8.8.2056/", "https://134744072/",
    # what is not public
    "https://10.0.0.1/", "https://172.16.0.1/", "https://172.31.255.255/", "https://192.168.1.1/",
    "https://100.64.0.1/", "https://100.100.100.200/", "https://169.254.169.254/",
    "https://169.254.170.2/", "https://168.63.129.16/", "https://192.0.0.192/",
    "https://192.0.2.1/", "https://198.51.100.1/", "https://203.0.113.1/", "https://198.18.0.1/",
    "https://192.88.99.1/", "https://224.0.0.1/", "https://239.255.255.250/", "https://240.0.0.1/",
    "https://255.255.255.255/", "https://0.1.2.3/",
    # IPv6, and IPv4 inside it
    "https://[::1]/", "https://[::]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/", "https://[::ffff:10.0.0.1]/", "https://[::ffff:169.254.169.254]/",
    "https://[::127.0.0.1]/", "https://[::ffff:0:127.0.0.1]/", "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/", "https://[64:ff9b:1::8.8.8.8]/", "https://[2002:7f00:1::]/",
    "https://[2002:a9fe:a9fe::]/", "https://[2001::1]/", "https://[2001:0:4136:e378::]/",
    "https://[2001:db8::1]/", "https://[3fff::1]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/", "https://[2606:4700::1%251]/", "https://[fec0::1]/",
    "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[ff02::1]/", "https://[ff0e::1]/",
    "https://[100::1]/", "https://[5f00::1]/", "https://[2606:4700::5efe:7f00:1]/",
    "https://[2606:4700::200:5efe:127.0.0.1]/", "https://[::ffff:8.8.8.8]:22/",
]  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_the_public_internet_is_called(url: str) -> None:
    assert refusal(url, DEFAULT) == ""


@pytest.mark.parametrize("url", BAD)
def test_nothing_else_is(url: str) -> None:
    """And the reason quotes nothing of it."""
    reason = refusal(url, DEFAULT)
    assert reason
    assert len(url) < 10 or url not in reason


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9999/paid",
        "https://127.255.0.1/",
        "http://10.9.8.7/",
        "http://[::ffff:127.0.0.1]:33/",
        "https://[fd12::5]:9/",
        "http://shop.intern:8080/paid",
        "http://TILLS/paid",
    ],
)
def test_what_is_allowed_is_called_at_any_port(url: str) -> None:
    assert refusal(url, OPEN) == ""


@pytest.mark.parametrize(
    "url",
    [
        "http://127.1:9999/",
        "http://10.8.0.1/",
        "http://a@127.0.0.1/",
        "http://tills./",
        "http://other/",
        "http://x.shop.intern/",
        "http://localhost/",
        "https://[fd12:0:0:1::5]/",
        "http://shop.example/",
    ],
)
def test_what_is_not_allowed_stays_refused(url: str) -> None:
    """A network opens no other, a name none below it, and neither a doubtful spelling."""
    assert refusal(url, OPEN)


def test_plain_http_is_a_choice_of_its_own() -> None:
    assert refusal(
        "http://127.0.0.1/", read_policy(allow_http=False, ports=[80], allow=["::/0", "0.0.0.0/0"])
    )
    assert not refusal("http://shop.example/", read_policy(allow_http=True, ports=[80], allow=[]))


@given(st.text(alphabet="htps:/@[]%.\\#?0123456789abcdefx-_ \t①", max_size=40))
def test_what_is_let_through_means_one_thing_to_both_readers(tail: str) -> None:
    """``urllib`` judges, ``yarl`` connects: scheme, host and port are the same."""
    url = f"https://{tail}"
    policy = read_policy(allow_http=True, ports=range(1, 65536), allow=["0.0.0.0/0", "::/0"])
    if refusal(url, policy):
        return
    judged, connected = urlsplit(url), URL(url, encoded=True)
    assert judged.scheme == connected.scheme
    assert judged.hostname == (connected.raw_host or "").lower()
    assert (judged.port or 443) == connected.port
    assert connected.raw_user is None


@pytest.mark.parametrize(
    "address",
    [url.split("//")[1].rstrip("/").strip("[]") for url in BAD[BAD.index("https://10.0.0.1/") :]
     if "25" not in url and ":22" not in url],
)  # fmt: skip
def test_an_address_that_a_name_resolves_to_is_judged_alike(address: str) -> None:
    with pytest.raises(Refused):
        DEFAULT.vet("shop.example", address)


def test_a_public_address_and_an_allowed_host_pass() -> None:
    DEFAULT.vet("shop.example", "8.8.8.8")
    DEFAULT.vet("shop.example", "2606:4700::1111")
    OPEN.vet("shop.example", "10.9.1.1")
    OPEN.vet("tills", "192.168.1.5")
    OPEN.vet("TILLS", "fe80::1%2")
    with pytest.raises(Refused):
        OPEN.vet("shop.example", "192.168.1.5")
    with pytest.raises(Refused):
        DEFAULT.vet("shop.example", "not an address")


@pytest.mark.parametrize(
    "entry", ["", "http://a", "10.0.0.1/8", "a b", "*", "*.shop", "127.1", "a:1"]
)
def test_an_allowance_is_a_network_an_address_or_a_name(entry: str) -> None:
    with pytest.raises(ValueError, match="must be a network"):
        read_allowance(entry)
