"""The table of builtins: what it says of itself is so, and the engine in process has what it lists."""

import pytest
import regorus

from gateway.policy import builtins

KINDS = set("snbzaot*")


def unknown(name: str, arity: int) -> bool:
    """Whether the engine in process has no function of that name."""
    engine = regorus.Engine()
    arguments = ", ".join(["1"] * arity)
    engine.add_policy("a.rego", f"package a\n\nx := {name}({arguments})\n")
    try:
        engine.eval_rule_as_json("data.a.x")
    except RuntimeError as error:
        return "could not find function" in str(error)
    return False


@pytest.mark.parametrize("name", builtins.SIGNATURES)
def test_every_signature_is_of_known_kinds(name: str) -> None:
    arguments, result = builtins.SIGNATURES[name]
    assert arguments
    assert all(argument and set(argument) <= KINDS for argument in arguments)
    assert result
    assert set(result) <= KINDS


@pytest.mark.parametrize("name", builtins.SIGNATURES)
def test_the_engine_in_process_has_every_builtin_of_the_table(name: str) -> None:
    assert not unknown(name, len(builtins.SIGNATURES[name][0]))


def test_a_name_that_nobody_has_is_unknown_to_the_engine() -> None:
    assert unknown("nobody.has_this", 1)


def test_no_name_is_both_allowed_and_refused() -> None:
    refused = builtins.VOLATILE.keys() | builtins.DIFFERENT.keys() | builtins.DEPRECATED
    assert builtins.SIGNATURES.keys() & refused == set()
    assert builtins.VOLATILE.keys() & builtins.DIFFERENT.keys() == set()


@pytest.mark.parametrize("name", ["time.now_ns", "http.send", "rand.intn", "opa.runtime", "net.lookup_ip_addr"])
def test_what_is_no_function_of_the_input_is_volatile_and_says_what_to_write_instead(name: str) -> None:
    assert builtins.VOLATILE[name]


@pytest.mark.parametrize("prefix", builtins.OPA_HAS)
def test_what_only_opa_has_is_not_wholly_in_the_table(prefix: str) -> None:
    assert prefix not in builtins.SIGNATURES
    assert prefix == "net.cidr_" or not [name for name in builtins.SIGNATURES if name.startswith(prefix)]


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("abs", ("n",), "n"),
        ("concat", ("s", "at"), "s"),
        ("json.patch", ("*", "a"), "*"),
        ("object.get", ("o", "*", "*"), "*"),
    ],
)
def test_a_line_is_read_as_name_arguments_and_result(name: str, arguments: tuple[str, ...], result: str) -> None:
    assert builtins.SIGNATURES[name] == (arguments, result)
