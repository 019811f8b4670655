import json
import random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Malformed
from gateway.wire import jsonrpc
from gateway.wire.jsonrpc import Message, Response, encode, parse

DEPTH = 64


def parsed(body: bytes, *, depth: int) -> Message:
    """What is a request or a notification."""
    message = parse(body, depth=depth)
    assert isinstance(message, Message)
    return message


def envelope(**changes: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "m", "params": {}} | changes).encode()


def raw(params: str = "{}", ident: str = "1", method: str = '"m"', more: str = "") -> bytes:
    return f'{{"jsonrpc":"2.0","id":{ident},"method":{method},"params":{params}{more}}}'.encode()


def nested(levels: int) -> bytes:
    """`levels` of nesting in all: the envelope and params are two of them."""
    inner = levels - 2
    return raw('{"a":' + "[" * inner + "]" * inner + "}")


def test_a_request_is_its_id_method_and_params() -> None:
    assert parse(envelope(id="x", params={"a": [1, 2.5, None]}), depth=DEPTH) == Message(
        "x", "m", {"a": [1, 2.5, None]}
    )


def test_a_message_without_an_id_is_a_notification() -> None:
    assert parse(b'{"jsonrpc":"2.0","method":"m"}', depth=DEPTH) == Message(None, "m", {})


ACCEPTED: dict[str, tuple[bytes, object]] = {
    "id zero": (raw(ident="0"), 0),
    "id negative": (raw(ident="-5"), -5),
    "id 2^53-1": (raw(ident=str(2**53 - 1)), 2**53 - 1),
    "id empty string": (raw(ident='""'), ""),
    "id text": (raw(ident='"a\\u0000b"'), "a\x00b"),
    "white space around": (b" \r\n\t" + raw() + b"\n ", 1),
    "id escaped as a surrogate pair": (raw(ident='"\\ud83d\\ude00"'), "\U0001f600"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_valid_id_is_accepted_as_sent(name: str) -> None:
    body, ident = ACCEPTED[name]
    parsed = parse(body, depth=DEPTH).id
    assert parsed == ident
    assert type(parsed) is type(ident)


@pytest.mark.parametrize(
    "text",
    [
        '{"__proto__":{"a":1},"constructor":1}',
        '{"a":"\u202egpj.exe","b":"\u200b","n":"\u0430dmin"}',
        '{"nfc":"\u00e9","nfd":"e\u0301"}',
        '{"e\u0301":1,"\u00e9":2}',
        '{"Name":1,"name":2}',
        '{"n":9007199254740991,"m":-9007199254740991,"f":1e308,"t":5e-324,"z":-0.0}',
        '{"s":"\\u0000\\u001f\x7f"}',
        '{"":{"":[]}}',
        '{"digits":"12345678901234567890123","exponent":"1e999"}',
    ],
)
def test_what_only_looks_strange_arrives_as_it_was_sent(text: str) -> None:
    assert parsed(raw(text), depth=DEPTH).params == json.loads(text)


NOT_JSON: dict[str, bytes] = {
    "empty": b"",
    "white space": b"  ",
    "byte order mark": b"\xef\xbb\xbf" + raw(),
    "utf-16 with mark": raw().decode().encode("utf-16"),
    "utf-16 little endian": raw().decode().encode("utf-16-le"),
    "utf-32": raw().decode().encode("utf-32-be"),
    "nul after": raw() + b"\x00",
    "nul before": b"\x00" + raw(),
    "nul within a string": raw('{"a":"\x00"}'),
    "trailing text": raw() + b"x",
    "trailing comma": raw('{"a":1,}'),
    "two documents": raw() + raw(),
    "two documents on lines": raw() + b"\n" + raw(),
    "comment": b"/**/" + raw(),
    "comment after": raw() + b"//",
    "raw newline in a string": raw('{"a":"\n"}'),
    "raw tab in a string": raw('{"a":"\t"}'),
    "lone high surrogate": raw('{"a":"\\ud800"}'),
    "lone low surrogate": raw('{"a":"\\udc00"}'),
    "two high surrogates": raw('{"a":"\\ud800\\ud800"}'),
    "lone surrogate in a key": raw('{"\\ud800":1}'),
    "surrogate in utf-8": raw().replace(b'"m"', b'"\xed\xa0\x80"'),
    "overlong utf-8": raw().replace(b'"m"', b'"\xc0\xaf"'),
    "overlong nul": raw().replace(b'"m"', b'"\xc0\x80"'),
    "not utf-8": raw().replace(b'"m"', b'"\xff"'),
    "NaN": raw('{"a":NaN}'),
    "Infinity": raw('{"a":Infinity}'),
    "-Infinity": raw('{"a":-Infinity}'),
    "nan": raw('{"a":nan}'),
    "leading zero": raw('{"a":01}'),
    "plus": raw('{"a":+1}'),
    "bare point": raw('{"a":1.}'),
    "hex": raw('{"a":0x10}'),
    "5000 digits": raw('{"a":' + "9" * 5000 + "}"),
    "single quotes": b"{'jsonrpc':'2.0'}",
    "bare key": b'{jsonrpc:"2.0"}',
    "cut off": raw()[:-1],
    "100,000 open arrays": b"[" * 100_000,
    "100,000 open objects": b'{"a":' * 100_000,
    "100,000 nested in params": nested(100_000),
    "duplicate key in the envelope": raw(more=',"method":"n"'),
    "duplicate id": raw(more=',"id":2'),
    "duplicate params": raw(more=',"params":{}'),
    "duplicate jsonrpc": raw(more=',"jsonrpc":"2.0"'),
    "duplicate in params": raw('{"name":"safe","name":"t"}'),
    "duplicate in arguments": raw('{"arguments":{"a":1,"a":1}}'),
    "duplicate deep in an array": raw('{"arguments":{"a":[[{"b":{"c":1,"c":2}}]]}}'),
    "duplicate spelt with an escape": raw('{"name":1,"n\\u0061me":2}'),
    "duplicate spelt with a surrogate pair": raw('{"\U0001f600":1,"\\ud83d\\ude00":2}'),
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_not_strict_json_is_a_parse_error_that_quotes_nothing(name: str) -> None:
    with pytest.raises(Malformed) as fault:
        parse(NOT_JSON[name], depth=DEPTH)
    assert (fault.value.jsonrpc, fault.value.status) == (jsonrpc.PARSE_ERROR, 400)
    assert fault.value.reason == "the body is not strict JSON"
    assert fault.value.__suppress_context__


NOT_A_MESSAGE: dict[str, bytes] = {
    "batch": b"[" + raw() + b"]",
    "empty batch": b"[]",
    "string": b'"m"',
    "null": b"null",
    "number": b"1",
    "empty object": b"{}",
    "response without an id": b'{"jsonrpc":"2.0","result":{}}',
    "response to null": b'{"jsonrpc":"2.0","id":null,"result":{}}',
    "response to a float": b'{"jsonrpc":"2.0","id":1.5,"result":{}}',
    "response of another version": b'{"jsonrpc":"1.0","id":1,"result":{}}',
    "response without a version": b'{"id":1,"result":{},"error":{"code":1,"message":"x"}}',
    "response with params": b'{"jsonrpc":"2.0","id":1,"result":{},"params":{}}',
    "result of another shape": b'{"jsonrpc":"2.0","id":1,"result":[]}',
    "result and error": b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}',
    "error of another shape": b'{"jsonrpc":"2.0","id":1,"error":"x"}',
    "error without a code": b'{"jsonrpc":"2.0","id":1,"error":{"message":"x"}}',
    "error with a code that is true": b'{"jsonrpc":"2.0","id":1,"error":{"code":true,"message":"x"}}',
    "error without a message": b'{"jsonrpc":"2.0","id":1,"error":{"code":1}}',
    "request and response": raw(more=',"result":{}'),
    "unknown key": raw(more=',"x":1'),
    "Method beside method": raw(more=',"Method":"tools/call"'),
    "Method alone": raw().replace(b'"method"', b'"Method"'),
    "long s in params": raw(more=',"param\u017f":{"name":"t"}'),
    "kelvin sign": raw().replace(b'"jsonrpc"', '"\u212asonrpc"'.encode()),
    "ID beside id": raw(more=',"ID":2'),
    "key with a space": raw(more=',"id ":2'),
    "__proto__ in the envelope": raw(more=',"__proto__":{}'),
    "no version": b'{"id":1,"method":"m"}',
    "version 1.0": raw().replace(b'"2.0"', b'"1.0"'),
    "version as a number": raw().replace(b'"2.0"', b"2.0"),
    "no method": b'{"jsonrpc":"2.0","id":1}',
    "method null": raw(method="null"),
    "method number": raw(method="1"),
    "method list": raw(method='["m"]'),
    "params null": raw("null"),
    "params list": raw("[]"),
    "params string": raw('"a"'),
    "id null": raw(ident="null"),
    "id true": raw(ident="true"),
    "id false": raw(ident="false"),
    "id 1.0": raw(ident="1.0"),
    "id 1.5": raw(ident="1.5"),
    "id 1e2": raw(ident="1e2"),
    "id list": raw(ident="[1]"),
    "id object": raw(ident="{}"),
    "id 2^53": raw(ident=str(2**53)),
    "id 2^53+1": raw(ident=str(2**53 + 1)),
    "id 2^64": raw(ident=str(2**64)),
    "id -2^53": raw(ident=str(-(2**53))),
    "1e400": raw('{"a":1e400}'),
    "-1e400": raw('{"a":[{"b":-1e400}]}'),
    "1E+400": raw('{"a":1E+400}'),
    "400 digits before the point": raw('{"a":1' + "0" * 400 + ".0}"),
    "integer 2^53 in arguments": raw('{"arguments":{"n":9007199254740992}}'),
    "integer 2^53+1 in arguments": raw('{"arguments":{"n":9007199254740993}}'),
    "integer 2^64 in arguments": raw('{"arguments":{"n":[[18446744073709551616]]}}'),
    "integer of 500 digits": raw('{"arguments":{"n":' + "9" * 500 + "}}"),
    "integer below -2^53": raw('{"arguments":{"n":-9007199254740993}}'),
    "nested one too deep": nested(DEPTH + 1),
    "objects one too deep": raw('{"a":' * (DEPTH - 1) + "{}" + "}" * (DEPTH - 1)),
}


@pytest.mark.parametrize("name", NOT_A_MESSAGE)
def test_json_that_is_not_one_message_is_an_invalid_request(name: str) -> None:
    with pytest.raises(Malformed) as fault:
        parse(NOT_A_MESSAGE[name], depth=DEPTH)
    assert (fault.value.jsonrpc, fault.value.status) == (jsonrpc.INVALID_REQUEST, 400)


@pytest.mark.parametrize("limit", [4, 64, 150])
def test_nesting_up_to_the_limit_is_accepted_and_one_more_is_not(limit: int) -> None:
    assert parsed(nested(limit), depth=limit).method == "m"
    with pytest.raises(Malformed, match=f"deeper than {limit}"):
        parse(nested(limit + 1), depth=limit)


@pytest.mark.parametrize("levels", [1_000, 100_000])
def test_nesting_far_beyond_any_limit_is_refused_and_crashes_nothing(levels: int) -> None:
    with pytest.raises(Malformed):
        parse(nested(levels), depth=256)


def test_as_many_values_as_may_be_are_parsed_and_each_is_there() -> None:
    text = "{" + ",".join(f'"{key}":{key}' for key in range(90_000)) + "}"
    assert len(parsed(raw(text), depth=DEPTH).params) == 90_000


@pytest.mark.parametrize("text", ["{" + ",".join(f'"{key}":{key}' for key in range(1_000_000)) + "}",
                                  '{"a":[' + "[0]," * 60_000 + "0]}"])  # fmt: skip
def test_more_values_than_that_are_refused(text: str) -> None:
    with pytest.raises(Malformed, match="more than 100000 values"):
        parse(raw(text), depth=DEPTH)


def test_keys_chosen_to_collide_in_a_simple_hash_are_still_told_apart() -> None:
    halves = ["Aa", "BB"]  # equal in the hash that multiplies by 31, as are all their concatenations
    keys = [""]
    for _ in range(12):
        keys = [key + half for key in keys for half in halves]
    assert len(parsed(raw(json.dumps(dict.fromkeys(keys, 0))), depth=DEPTH).params) == 4096


def verdict_on(body: bytes) -> Message | Malformed:
    try:
        return parsed(body, depth=8)
    except Malformed as fault:
        return fault


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.binary(max_size=200))
@settings(print_blob=True, deadline=None)
def test_no_bytes_raise_anything_but_malformed(body: bytes) -> None:
    verdict = verdict_on(body)
    assert verdict.status == 400 if isinstance(verdict, Malformed) else type(verdict.method) is str


@given(st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params", "result", "Id"]), json_values))
@settings(print_blob=True, deadline=None)
def test_no_envelope_raises_anything_but_malformed(value: dict[str, object]) -> None:
    body = json.dumps({"jsonrpc": "2.0", "method": "m"} | value).encode("utf-8", "surrogatepass")
    verdict = verdict_on(body)
    if isinstance(verdict, Malformed):
        assert verdict.jsonrpc in (jsonrpc.PARSE_ERROR, jsonrpc.INVALID_REQUEST)
    else:
        assert verdict.params == json.loads(body).get("params", {})
        assert type(verdict.id) in (str, int, type(None))


def test_mutated_messages_are_parsed_as_the_standard_library_reads_them_or_refused() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    original = envelope(id=7, params={"name": "t", "arguments": {"a": [1, -2.5e3, "x\u00e9\n", None, {"b": True}]}})
    for _ in range(4000):
        body = bytearray(original)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(body))
            body[place : place + chance.randint(0, 2)] = chance.choice(
                [b"", b'"', b"{", b"]", b"\\", b"\x00", b"9" * 20, b"e"]
            )
        try:
            message = parsed(bytes(body), depth=16)
        except Malformed:
            continue
        value = json.loads(bytes(body))
        assert (message.id, message.method, message.params) == (
            value.get("id"),
            value["method"],
            value.get("params", {}),
        )


def test_encoding_is_what_any_parser_reads_back() -> None:
    value = {"a": [1, 2.5, None, True, "\u00e9\n\U0001f600"], "b": {}}
    assert json.loads(encode(value)) == value
    assert encode(value) == orjson.dumps(value)


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**40, -(10**40)])
def test_integers_beyond_64_bits_keep_every_digit(number: int) -> None:
    encoded = encode({"n": [number], "s": "\u00e9", "f": 0.1})
    assert str(number).encode() in encoded
    assert json.loads(encoded) == {"n": [number], "s": "\u00e9", "f": 0.1}


@pytest.mark.parametrize("value", ["\ud800", {1: object()}, [float("nan"), 2**70]])
def test_what_has_no_json_form_is_an_error_and_never_another_value(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode(value)


def test_responses_carry_the_id_and_errors_their_data() -> None:
    assert json.loads(jsonrpc.result("a", {"x": 1})) == {"jsonrpc": "2.0", "id": "a", "result": {"x": 1}}
    assert json.loads(jsonrpc.error(None, -1, "no")) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -1, "message": "no"},
    }
    assert json.loads(jsonrpc.error(3, -1, "no", {"d": 0}))["error"]["data"] == {"d": 0}


@pytest.mark.parametrize(
    ("body", "response"),
    [
        (b'{"jsonrpc":"2.0","id":1,"result":{"a":1}}', Response(1, {"a": 1})),
        (b'{"id":"x","result":{},"jsonrpc":"2.0"}', Response("x", {})),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"secret","data":{}}}', Response(1, None, -1)),
    ],
)
def test_an_answer_to_us_keeps_its_result_or_the_code_of_its_error(body: bytes, response: Response) -> None:
    assert parse(body, depth=64) == response


def test_an_answer_is_bounded_like_any_message() -> None:
    with pytest.raises(Malformed, match="nested deeper"):
        parse(b'{"jsonrpc":"2.0","id":1,"result":{"a":[[[[]]]]}}', depth=4)
