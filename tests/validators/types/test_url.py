"""Urls: the parts, the private addresses in all their spellings, and what two readers would read differently."""

from typing import Any

import pytest

from gateway.validators.types import url
from gateway.validators.types.unfit import Unfit


@pytest.mark.parametrize(
    ("value", "normal", "parts"),
    [
        ("https://example.com", "https://example.com/", ("https", "example.com", 443, "/")),
        ("HTTPS://EXAMPLE.com:443/a?b=c#d", "https://example.com/a?b=c#d", ("https", "example.com", 443, "/a")),
        ("http://example.com:8080/x%20y", "http://example.com:8080/x%20y", ("http", "example.com", 8080, "/x%20y")),
        ("https://example.com./", "https://example.com./", ("https", "example.com", 443, "/")),
        ("https://xn--fa-hia.de/", "https://xn--fa-hia.de/", ("https", "xn--fa-hia.de", 443, "/")),
        ("https://a.b/\u00e9?q=\u00e9", "https://a.b/%C3%A9?q=%C3%A9", ("https", "a.b", 443, "/%C3%A9")),
        ("https://8.8.8.8/", "https://8.8.8.8/", ("https", "8.8.8.8", 443, "/")),
        ("https://[2606:4700::1111]:1/", "https://[2606:4700::1111]:1/", ("https", "[2606:4700::1111]", 1, "/")),
        ("https://a.b/...//x..y?../z#..", "https://a.b/...//x..y?../z#..", ("https", "a.b", 443, "/...//x..y")),
        ("https://notlocalhost.com/", "https://notlocalhost.com/", ("https", "notlocalhost.com", 443, "/")),
    ],
)
def test_a_plain_url_has_its_normal_form_and_parts(value: str, normal: str, parts: tuple[Any, ...]) -> None:
    typed = url.reader({})(value)
    assert (typed.type, typed.value) == ("url", normal)
    assert tuple(typed.parts[name] for name in ("scheme", "host", "port", "path")) == parts


PRIVATE = [
    "http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://0x7f000001/", "http://127.1/",
    "http://0177.0.0.1/",
    "http://0/", "http://0.0.0.0/", "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/",
    "http://127\u30020\u30020\u30021/",
    "http://%31%32%37.0.0.1/", "http://127.0.0.1:80", "http:127.0.0.1", "http:///127.0.0.1/",
    " http://127.0.0.1", "http://127.0.0.1\\@example.com/",
    "http://localhost/", "http://LOCALHOST./", "http://a.localhost/", "http://printer.local/",
    "http://metadata.google.internal/",
    "http://nas.home.arpa/", "http://x.localdomain/", "http://metadata/", "http://redis:6379/",
    "http://[::1]/", "http://[::]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[64:ff9b::10.0.0.1]/",
    "http://[2002:7f00:1::]/", "http://[2002:808:808::]/", "http://[2001:0:7f00:1::]/",
    "http://[fe80::1]/", "http://[fec0::1]/", "http://[64:ff9b:1::1]/", "http://[fc00::1]/", "http://[fd00:ec2::254]/",
    "http://[ff02::1]/", "http://[2001:db8::1]/",
    "http://169.254.169.254/latest", "http://2852039166/", "http://100.100.100.200/", "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://10.1.2.3/", "http://172.16.0.1/", "http://192.168.0.1/", "http://224.0.0.1/", "http://240.0.0.1/",
    "http://255.255.255.255/",
]  # fmt: skip


@pytest.mark.parametrize("value", PRIVATE)
def test_every_spelling_of_a_private_address_is_refused(value: str) -> None:
    with pytest.raises(Unfit, match="private"):
        url.reader({})(value)


@pytest.mark.parametrize("value", ["http://127.0.0.1:8000/", "http://localhost/", "http://[::1]/", "http://redis/"])
def test_a_private_address_passes_where_the_manifest_says_so(value: str) -> None:
    assert url.reader({"allow_private": True})(value).type == "url"


@pytest.mark.parametrize("value", ["http://2130706433/", "http://127.1/", "http://0177.0.0.1/"])
def test_an_odd_spelling_is_refused_even_where_private_addresses_may_pass(value: str) -> None:
    with pytest.raises(Unfit, match="another host"):
        url.reader({"allow_private": True})(value)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("", "not a url"),
        ("//example.com/", "not a url"),
        ("example.com", "not a url"),
        ("https://example.com:99999", "not a url"),
        ("https://\ud800.com", "not a url"),
        ("https://a.b/" + "x" * 9000, "longer"),
        ("https:example.com", "as one reads it"),
        ("https:/example.com", "as one reads it"),
        ("https:///example.com", "another host"),
        ("https:\\\\example.com", "as one reads it"),
        ("https://example.com\\@evil.com/", "as one reads it"),
        ("https://exa\tmple.com", "as one reads it"),
        ("https://example.com/a\nb", "as one reads it"),
        ("https://example.com/a b", "as one reads it"),
        ("https://example.com/\x9b", "as one reads it"),
        (" https://example.com", "as one reads it"),
        ("https://fa\u00df.de", "another host"),
        ("https://ex%61mple.com", "another host"),
        ("https://example.com:0443/", "another host"),
        ("https://example.com:/", "another host"),
        ("https://0x8.8.8.8/", "another host"),
        ("https://u:p@example.com/", "user or a password"),
        ("https://example.com@evil.com/", "user or a password"),
        ("https://@example.com/", "another host"),
        ("https://example.com/a/../b", "segments"),
        ("https://example.com/./b", "segments"),
        ("https://example.com/a/%2e%2E/b", "segments"),
        ("https://example.com/a/..%2fb", "segments"),
        ("https://example.com/a/%252e%252e/b", "segments"),
        ("https://example.com/a/%252e%252e%252fb", "segments"),
        ("https://example.com/a/..;/b", "segments"),
        ("ftp://example.com/", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("data:text/plain,x", "scheme"),
    ],
)
def test_what_two_readers_would_read_differently_is_refused(value: str, word: str) -> None:
    with pytest.raises(Unfit, match=word) as unfit:
        url.reader({})(value)
    assert unfit.value.would_pass


@pytest.mark.parametrize(
    ("hosts", "value", "passes"),
    [
        (["example.com"], "https://example.com/", True),
        (["example.com"], "https://example.com./", True),
        (["example.com"], "https://a.example.com/", False),
        (["*.example.com"], "https://a.example.com/", True),
        (["*.example.com"], "https://example.com/", False),
        (["*.example.com"], "https://badexample.com/", False),
        (["a.org", "b.org"], "https://b.org/", True),
    ],
)
def test_only_the_hosts_of_the_manifest_pass(hosts: list[str], value: str, passes: bool) -> None:
    read = url.reader({"hosts": hosts})
    if passes:
        assert read(value).type == "url"
    else:
        with pytest.raises(Unfit) as unfit:
            read(value)
        assert hosts[0] in unfit.value.would_pass


@pytest.mark.parametrize(("scheme", "port"), url.DEFAULT_PORTS.items())
def test_every_scheme_has_its_port(scheme: str, port: int) -> None:
    assert url.reader({"schemes": [scheme]})(f"{scheme}://example.com/").parts["port"] == port
