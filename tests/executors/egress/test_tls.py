"""The server's name in a ClientHello."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.executors.egress.tls import LONGEST, Hello, NotTls, read_hello
from tests.executors.hellos import hello, message, record, server_name


@pytest.mark.parametrize(
    ("name", "read"), [("api.example", "api.example"), ("Api.Example", "Api.Example"), (None, None)]
)
def test_the_hello_of_a_real_client_is_read(name: str | None, read: str | None) -> None:
    assert read_hello(hello(name)) == Hello(read)


def test_it_is_read_as_soon_as_it_is_whole_and_not_before() -> None:
    whole = hello("api.example")
    assert [read_hello(whole[:size]) for size in range(len(whole))] == [None] * len(whole)


def test_it_may_be_split_into_records_anywhere() -> None:
    whole = message(server_name(b"api.example"))
    for cut in range(1, len(whole)):
        assert read_hello(record(whole[:cut]) + record(whole[cut:])) == Hello("api.example")


def test_other_extensions_are_passed_over() -> None:
    other = b"\xfe\x0d\x00\x03abc"  # an encrypted hello: the outer name stands
    assert read_hello(record(message(other, server_name(b"front.example"), other))) == Hello("front.example")


def test_a_hello_without_extensions_names_nobody() -> None:
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    assert read_hello(record(b"\x01" + len(body).to_bytes(3) + body)) == Hello(None)


WHOLE = message(server_name(b"api.example"))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "handshake"),
        (b"SSH-2.0-x\r\n", "handshake"),
        (b"\x80\x2e\x01\x00\x02", "handshake"),  # SSL 2
        (b"\x16\x02\x00\x00\x05", "version"),
        (b"\x16\x03\x01\x00\x00", "size"),
        (b"\x16\x03\x01\x40\x01", "size"),
        (record(b"\x02" + WHOLE[1:]), "ClientHello"),
        (record(WHOLE + b"\x0b"), "behind its ClientHello"),
        (record(WHOLE[:9]) + b"\x17\x03\x03\x00\x01a", "handshake"),
        (record(message(server_name(b"a.example"), server_name(b"b.example"))), "twice"),
        (record(message(server_name(b"a.example", b"b.example"))), "unknown way"),
        (record(message(server_name(b"a.example", kind=1))), "unknown way"),
        (record(message(b"\x00\x00\x00\x00")), "not whole"),
        (record(message(server_name("ä.example".encode()))), "ASCII"),
        (record(message(server_name(b"a.example"), behind=b"x")), "behind its extensions"),
        (record(message(b"\x00\x00\x00")), "not whole"),
        (record(b"\x01\x00\x00\x02\x03\x03"), "not whole"),
    ],
)
def test_what_is_none_or_can_be_read_in_two_ways_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(NotTls, match=why):
        read_hello(data)


def test_one_that_never_ends_is_refused() -> None:
    endless = b"\x01\xff\xff\xff" + bytes(2 * LONGEST)
    with pytest.raises(NotTls, match="too long"):
        read_hello(b"".join(record(endless[at : at + 1000]) for at in range(0, LONGEST + 1, 1000)))


@given(st.binary(max_size=300), st.integers(0, 400), st.booleans())
def test_no_bytes_do_anything_but_these_three(noise: bytes, at: int, inside: bool) -> None:
    whole = record(WHOLE)
    data = whole[:at] + noise + whole[at:] if inside else noise
    with suppress(NotTls):
        assert isinstance(read_hello(data), Hello | None)
