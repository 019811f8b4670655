"""Kinds and lists are the names that policies, records and the wire hold on to."""

import orjson

from gateway.kinds import ASKED_OF_CLIENTS, LIST_CHANGED, LIST_METHODS, METHODS, Kind, Listed
from gateway.policy.bundle import shipped


def test_every_kind_is_in_the_policys_schema_and_has_a_method() -> None:
    schema = orjson.loads((shipped() / "schemas" / "input.json").read_bytes())
    assert schema["properties"]["call"]["properties"]["kind"]["enum"] == [kind.value for kind in Kind]
    assert set(METHODS) == set(Kind) - {Kind.OTHER}
    assert {kind.value for kind in Kind} <= set(schema["properties"])


def test_every_list_has_a_method_and_a_notification() -> None:
    assert set(LIST_METHODS) == set(Listed)
    assert {what for lists in LIST_CHANGED.values() for what in lists} == set(Listed)


def test_clients_are_asked_for_three_things_only() -> None:
    assert set(ASKED_OF_CLIENTS.values()) == {Kind.SAMPLING, Kind.ELICITATION, Kind.ROOTS}
