"""What of a client's `_meta` goes on to an upstream, and what of it is the client's own words."""

import pytest

from gateway.executors.messages import OUR_META
from gateway.model import JsonObject
from gateway.wire.meta import passed_on, stated

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("meta", "kept"),
    [
        ({}, {}),
        ({"a": 1, "example.com/b": {"c": 2}}, {"a": 1, "example.com/b": {"c": 2}}),
        ({"bascule/task": "t", "bascule/anything": 1}, {}),
        ({"io.modelcontextprotocol/logLevel": "debug", "modelcontextprotocol.io/x": 1, "tools.mcp.com/x": 1}, {}),
        ({**OUR_META, "progressToken": 1, "baggage": "a=b"}, {}),
        ({"mcp": 1, "example.com/mcp": 2}, {"mcp": 1, "example.com/mcp": 2}),
        ({"traceparent": TRACE}, {"traceparent": TRACE}),
        ({"traceparent": TRACE, "tracestate": "a=1"}, {"traceparent": TRACE, "tracestate": "a=1"}),
        ({"traceparent": TRACE, "tracestate": "a" * 513}, {"traceparent": TRACE}),
        ({"traceparent": TRACE, "tracestate": ["a"]}, {"traceparent": TRACE}),
        ({"tracestate": "a=1"}, {}),
        ({"traceparent": TRACE.upper()}, {}),
        ({"traceparent": "ff" + TRACE[2:]}, {}),
        ({"traceparent": TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32)}, {}),
        ({"traceparent": TRACE + "\n"}, {}),
        ({"traceparent": 7}, {}),
    ],
)
def test_of_the_clients_meta_only_what_is_not_reserved_goes_along(meta: JsonObject, kept: JsonObject) -> None:
    assert passed_on(meta) == kept
    assert stated(meta) == {key: value for key, value in kept.items() if key not in ("traceparent", "tracestate")}
