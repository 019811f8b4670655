"""What a sandboxed program asks of the door."""

import pytest

from gateway.executors.egress.asking import Asked, BadRequest, Request


def asked(head: bytes) -> Asked:
    return Request().read_head(head)


@pytest.mark.parametrize(
    ("head", "target"),
    [
        (b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n", ("api.example", 443)),
        (b"CONNECT api.example:443 HTTP/1.0\r\n\r\n", ("api.example", 443)),
        (b"CONNECT API.example.:443 HTTP/1.1\r\nHost: api.example\r\n\r\n", ("api.example", 443)),
        (b"CONNECT [::1]:8080 HTTP/1.1\r\nHost: [::1]:8080\r\nProxy-Connection: Keep-Alive\r\n\r\n", ("::1", 8080)),
    ],
)
def test_connect_names_a_destination(head: bytes, target: tuple[str, int]) -> None:
    assert asked(head) == Asked("CONNECT", *target)


@pytest.mark.parametrize(
    ("head", "target", "forward"),
    [
        (
            b"GET http://api.example/a?b=c HTTP/1.1\r\nHost: api.example\r\nX-A: 1\r\n\r\n",
            ("api.example", 80),
            b"GET /a?b=c HTTP/1.1\r\nHost: api.example\r\nx-a: 1\r\nConnection: close\r\n\r\n",
        ),
        (
            b"GET HTTP://API.example:8080 HTTP/1.1\r\nHOST: api.EXAMPLE:8080\r\n\r\n",
            ("api.example", 8080),
            b"GET / HTTP/1.1\r\nHost: api.example:8080\r\nConnection: close\r\n\r\n",
        ),
        (
            b"GET http://[::1]?q HTTP/1.0\r\n\r\n",
            ("::1", 80),
            b"GET /?q HTTP/1.0\r\nHost: [::1]\r\nConnection: close\r\n\r\n",
        ),
        (
            b"POST http://a.example/ HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 3\r\n"
            b"Proxy-Authorization: Basic eA==\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nUpgrade: h2c\r\n"
            b"TE: trailers\r\nKeep-Alive: 5\r\nX-B: 2\r\n\r\n",
            ("a.example", 80),
            b"POST / HTTP/1.1\r\nHost: a.example\r\nx-b: 2\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
        ),
        (
            b"PUT http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n",
            ("a.example", 80),
            b"PUT / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        ),
    ],
)
def test_a_request_goes_on_in_our_own_words(head: bytes, target: tuple[str, int], forward: bytes) -> None:
    read = asked(head)
    assert ((read.host, read.port), read.head) == (target, forward)


G = b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n"


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "this is a proxy"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", "this is a proxy"),
        (b"GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "this is a proxy"),
        (b"GET ftp://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "this is a proxy"),
        (b"GET http://user@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "this is a proxy"),
        (b"GET http://a.example/#x HTTP/1.1\r\nHost: a.example\r\n\r\n", "well-formed|this is a proxy"),
        (b"GET http://a.example\\@b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "well-formed"),
        (b"GET http:///x HTTP/1.1\r\nHost: a.example\r\n\r\n", "well-formed|no host"),
        (b"GET http://127.1/ HTTP/1.1\r\nHost: 127.1\r\n\r\n", "two ways"),
        (b"GET http://2130706433/ HTTP/1.1\r\nHost: 2130706433\r\n\r\n", "two ways"),
        (b"GET http://a.example:0/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "two ways"),
        (b"GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n", "another host"),
        (b"GET http://a.example/ HTTP/1.1\r\nHost: a.example:81\r\n\r\n", "another host"),
        (b"GET http://a.example/ HTTP/1.1\r\n\r\n", "one Host"),
        (G + b"Host: a.example\r\n\r\n", "one Host"),
        (b"GET http://a.example/ HTTP/1.1\r\nHost: \r\n\r\n", "Host is no host"),
        (b"GET http://a.example/ HTTP/2.0\r\nHost: a.example\r\n\r\n", "only HTTP"),
        (b"GET http://a.example/ HTTP/0.9\r\nHost: a.example\r\n\r\n", "only HTTP"),
        (G + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "well-formed"),
        (G + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "well-formed"),
        (G + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n", "well-formed"),
        (G + b"Content-Length: 3, 3\r\n\r\n", "well-formed"),
        (G + b"Content-Length: +3\r\n\r\n", "well-formed"),
        (G + b"Content-Length: 99999999999999999999\r\n\r\n", "well-formed"),
        (G + b"Transfer-Encoding: chunked, chunked\r\n\r\n", "well-formed"),
        (G + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "well-formed|chunked, once"),
        (G + b"Transfer-Encoding: xchunked\r\n\r\n", "well-formed"),
        (G + b"Transfer-Encoding: identity\r\n\r\n", "well-formed"),
        (G + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "chunked, once"),
        (G + b"Transfer-Encoding\x0b: chunked\r\n\r\n", "well-formed"),
        (G + b"X: a\r\n folded\r\n\r\n", "well-formed"),
        (G + b"X : a\r\n\r\n", "well-formed"),
        (G + b"X: a\nY: b\r\n\r\n", "well-formed"),
        (G + b"X: a\rY: b\r\n\r\n", "well-formed"),
        (G + b"X: a\x00b\r\n\r\n", "well-formed"),
        (b"GET http://a.example/ HTTP/1.1\nHost: a.example\r\n\r\n", "well-formed"),
        (b"get http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "well-formed"),
        (b"PRI * HTTP/2.0\r\n\r\n", "well-formed|only HTTP"),
        (b"\r\n\r\n", "well-formed"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", "well-formed"),
        (b"PUT http://a.example/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0 knows no"),
        (b"CONNECT a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", "CONNECT takes host:port|well-formed"),
        (b"CONNECT http://a.example:443/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "CONNECT takes host:port|well-formed"),
        (b"CONNECT user@a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", "CONNECT takes host:port|well-formed"),
        (b"CONNECT 0x7f.1:443 HTTP/1.1\r\nHost: 0x7f.1:443\r\n\r\n", "CONNECT takes host:port"),
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n", "another host"),
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:80\r\n\r\n", "another host"),
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n", "one Host"),
        (b"CONNECT a.example:443 HTTP/1.1\r\n\r\n", "one Host"),
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\n", "no body"),
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n", "no body"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(head: bytes, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        asked(head)


def body(head: bytes, *parts: bytes) -> tuple[bytes, bool]:
    request = Request()
    request.read_head(head)
    return b"".join(request.read_body(part) for part in parts), request.whole


def test_a_body_goes_on_as_long_as_it_was_said_to_be() -> None:
    head = b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\n"
    assert body(head, b"abc") == (b"abc", False)
    assert body(head, b"abc", b"def") == (b"abcdef", True)


def test_a_chunked_body_goes_on_in_chunks_of_our_own() -> None:
    head = b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = b"3;name=value\r\nabc\r\n02\r\nde\r\n0\r\nTrailer: dropped\r\n\r\n"
    assert body(head, sent) == (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", True)
    assert body(head, sent[:15]) == (b"1\r\na\r\n", False)


@pytest.mark.parametrize(
    ("head", "sent"),
    [
        (G + b"\r\n", b"GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n"),
        (b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\n", b"abcGET "),
        (
            b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"0\r\n\r\nGET http://b.example/ HTTP/1.1\r\n",
        ),
        (b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\nabc\n0\n\n"),
        (
            b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"0x3\r\nabc\r\n",
        ),
        (b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabcd\r\n"),
        (
            b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"3;x=\n\r\nabc\r\n0\r\n\r\n",
        ),
    ],
)
def test_no_second_request_hides_behind_the_first(head: bytes, sent: bytes) -> None:
    with pytest.raises(BadRequest, match=r"one request|well-formed"):
        body(head, sent)


def test_what_is_said_after_a_request_that_asked_for_an_upgrade_goes_nowhere() -> None:
    with pytest.raises(BadRequest):
        body(G + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", b"raw bytes")


def test_a_body_is_read_although_an_upgrade_was_asked_for() -> None:
    head = b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n"
    head += b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert body(head, b"abc") == (b"abc", True)
