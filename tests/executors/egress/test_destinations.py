"""Where a sandbox may connect to."""

import pytest

from gateway.errors import ConfigError
from gateway.executors.egress import destinations
from gateway.executors.egress.destinations import (
    Destination,
    is_address,
    is_public,
    parse_allow,
    read_authority,
    read_host,
)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("api.github.com:443", Destination("api.github.com", 443)),
        ("API.GitHub.com.:443", Destination("api.github.com", 443)),
        ("*.pkg.example:8443", Destination("pkg.example", 8443, below=True)),
        ("bücher.example:443", Destination("xn--bcher-kva.example", 443)),
        ("intranet:80", Destination("intranet", 80)),
        ("127.0.0.1:8080", Destination("127.0.0.1", 8080)),
        ("[::1]:8080", Destination("::1", 8080)),
        ("[0:0:0:0:0:0:0:1]:1", Destination("::1", 1)),
        ("my_host.example:65535", Destination("my_host.example", 65535)),
    ],
)
def test_an_entry_is_read_into_its_one_form(text: str, means: Destination) -> None:
    assert parse_allow(text) == means
    assert parse_allow(str(means)) == means


@pytest.mark.parametrize(
    "text",
    [
        "", "api.example", "api.example:", ":443", "api.example:0", "api.example:65536", "api.example:0443",
        "api.example:+443", "api.example: 443", "api.example:https", "api.example:*", "*:443", "*.com:443", "*.:443",
        "a.*.example:443", "**.example:443", "*api.example:443", "*.10.0.0.1:443", "*.[::1]:443", "[::1%eth0]:443",
        "https://api.example:443", "api.example/path:443", "api.example:443/", "user@api.example:443",
        "a b.example:443", "::1:8080", "[api.example]:443", "[127.0.0.1]:443", "127.1:80", "2130706433:80", "0x7f.1:80",
        "0177.0.0.1:80", "1.2.3.4.5:80", "-a.example:443", "a-.example:443",
        "a..example:443", ".example:443", "a.example..:443",
        f"{'a' * 64}.example:443", f"{'a.' * 127}example:443", "api.example?x:443", "api.example#x:443",
        "a\x00b.example:443",
    ],
)  # fmt: skip
def test_what_is_no_entry_is_refused_and_the_message_says_what_would_be_one(text: str) -> None:
    with pytest.raises(ConfigError, match=r"network\.allow: '.*\n?.*' .*(write host:port|\*\. stands before)"):
        parse_allow(text)


ALLOW = ("api.example:443", "*.pkg.example:443", "127.0.0.1:8080", "[::1]:8080", "xn--bcher-kva.example:443")


@pytest.mark.parametrize(
    ("host", "port", "permitted"),
    [
        ("api.example", 443, True),
        ("api.example", 80, False),
        ("a.pkg.example", 443, True),
        ("a.b.pkg.example", 443, True),
        ("pkg.example", 443, False),
        ("evilpkg.example", 443, False),
        ("a.pkg.example.evil", 443, False),
        ("api.example.evil", 443, False),
        ("evilapi.example", 443, False),
        ("x.api.example", 443, False),
        ("127.0.0.1", 8080, True),
        ("127.0.0.1", 8081, False),
        ("127.0.0.2", 8080, False),
        ("localhost", 8080, False),
        ("::1", 8080, True),
        ("::ffff:127.0.0.1", 8080, False),
        ("93.184.216.34", 443, False),
        ("xn--bcher-kva.example", 443, True),
    ],
)
def test_the_list_opens_what_it_names_and_nothing_like_it(host: str, port: int, permitted: bool) -> None:
    assert destinations.permits([parse_allow(text) for text in ALLOW], host, port) is permitted


def test_an_empty_list_opens_nothing() -> None:
    assert not destinations.permits([], "api.example", 443)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("API.Example.", "api.example"),
        ("93.184.216.34", "93.184.216.34"),
        ("[2606:4700:0::1]", "2606:4700::1"),
        ("bücher.example", None),
        ("127.1", None),
        ("2130706433", None),
        ("0x7f000001", None),
        ("0x", None),
        ("1.2.3.4.", None),
        ("example.0x7f", None),
        ("a.example..", None),
        ("", None),
        (".", None),
        ("[::1", None),
        ("[1.2.3.4]", None),
        ("a b", None),
        ("a@b", None),
    ],
)
def test_a_host_has_one_form_or_is_none(text: str, host: str | None) -> None:
    assert read_host(text) == host


@pytest.mark.parametrize(
    ("text", "default", "read"),
    [
        ("a.example:1", None, ("a.example", 1)),
        ("a.example", 80, ("a.example", 80)),
        ("[::1]", 80, ("::1", 80)),
        ("[::1]:81", 80, ("::1", 81)),
        ("a.example", None, None),
        ("a.example:", 80, None),
        ("a.example:80:80", 80, None),
        ("[::1", 80, None),
        ("::1", 80, None),
        ("user@a.example:80", None, None),
        ("a.example:99999", None, None),
    ],
)
def test_an_authority_is_host_and_port(text: str, default: int | None, read: tuple[str, int] | None) -> None:
    assert read_authority(text, default) == read


@pytest.mark.parametrize(("host", "is_one"), [("1.2.3.4", True), ("::1", True), ("a.example", False), ("a1", False)])
def test_an_address_is_told_from_a_name(host: str, is_one: bool) -> None:
    assert is_address(host) is is_one


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001:80b::200e"],
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "198.18.0.1",
        "192.0.0.192",
        "192.88.99.1",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:93.184.216.34",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::5db8:d822",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2001:20::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "100::1",
        "5f00::1",
        "4000::1",
        "nonsense",
        "",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)
