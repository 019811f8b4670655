"""Arguments and structured results against the schemas of the pin, compiled once for each pin.

JSON Schema 2020-12, or the dialect the schema names. `format` is an annotation, as 2020-12 has it; no reference leaves
the schema; a server's pattern cannot take long (see `patterns`), nor can the schema itself (see `bounds`).
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import orjson

from gateway.errors import Failed, Refused
from gateway.model import Code, Digest, JsonObject, Pin
from gateway.validators import bounds, explain, patterns

KEPT = 4096
"""Pins whose validators are kept; about 10 KB each."""
LIGHT = 64
"""A schema of at most this cost is checked without asking for the size of what is checked."""
WORK = 1 << 31
"""Cost of the schema times bytes of the value: about seconds at the worst."""
ANY_OBJECT: JsonObject = {"type": "object"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema made ready, or why it could not be."""

    accepts: Callable[[object], bool]
    errors: Callable[[object], Any] | None
    """None where telling the cause could take long."""
    cost: int
    problem: str = ""
    """Safe for the caller: it holds nothing the server wrote."""


@dataclass(frozen=True, slots=True)
class Schemas:
    """Of one pin."""

    arguments: Compiled
    result: Compiled | None


# Not state: the same digest always gives the same schemas.
_compiled: OrderedDict[Digest, Schemas] = OrderedDict()


def check_arguments(pin: Pin, arguments: JsonObject) -> None:
    """Nothing, where the arguments are what the tool accepts.

    Raises:
        Refused: SCHEMA, with what is wrong where, never with the value that is wrong.
    """
    compiled = _schemas(pin).arguments
    try:
        if (compiled.cost <= LIGHT or not _too_large(compiled, arguments)) and compiled.accepts(arguments):
            return
    except ValueError as error:
        raise Refused(Code.SCHEMA, "the arguments hold text that is not Unicode", detail=str(error)) from None
    raise _refusal(compiled, arguments)


def check_result(pin: Pin, result: JsonObject) -> None:
    """Nothing, where the tool declares no schema for its results, reported an error, or kept to the schema.

    Raises:
        Failed: UPSTREAM_INVALID.
    """
    compiled = _schemas(pin).result
    if compiled is None or result.get("isError") is True:
        return
    reason = "the tool's result does not match the schema it declares"
    if "structuredContent" not in result:
        raise Failed(Code.UPSTREAM_INVALID, reason, detail="structuredContent is missing")
    value = result["structuredContent"]
    if compiled.problem or _too_large(compiled, value):
        raise Failed(Code.UPSTREAM_INVALID, reason, detail=compiled.problem or _TOO_LARGE)
    try:
        if compiled.accepts(value):
            return
    except ValueError as error:
        raise Failed(Code.UPSTREAM_INVALID, reason, detail=str(error)) from None
    detail = explain.first(compiled.errors(value), "structuredContent")[0] if compiled.errors else ""
    raise Failed(Code.UPSTREAM_INVALID, reason, detail=detail)


def problems(pin: Pin) -> tuple[str, ...]:
    """Why calls of this tool are all refused, for the operator; empty where its schemas can be used."""
    schemas = _schemas(pin)
    found = (("inputSchema", schemas.arguments), ("outputSchema", schemas.result))
    return tuple(f"{key}: {compiled.problem}" for key, compiled in found if compiled is not None and compiled.problem)


_TOO_LARGE = "too large to be checked against a schema this heavy"
_SMALLER = "smaller arguments"
_CHECKABLE = "the tool's server declares a schema that can be checked"
_AS_DESCRIBED = "arguments as the tool's inputSchema describes them"


def _refusal(compiled: Compiled, arguments: JsonObject) -> Refused:
    if compiled.problem:
        return Refused(
            Code.SCHEMA,
            f"this tool cannot be called: {compiled.problem}",
            would_pass=_CHECKABLE,
        )
    if _too_large(compiled, arguments):
        return Refused(Code.SCHEMA, f"the arguments are {_TOO_LARGE}", would_pass=_SMALLER)
    if compiled.errors is None:
        return Refused(
            Code.SCHEMA,
            "the arguments do not match the tool's schema",
            would_pass=_AS_DESCRIBED,
        )
    reason, would_pass = explain.first(compiled.errors(arguments), "argument")
    return Refused(Code.SCHEMA, reason, would_pass=would_pass)


def _too_large(compiled: Compiled, value: object) -> bool:
    if compiled.cost <= LIGHT:
        return False
    try:
        return compiled.cost * len(orjson.dumps(value)) > WORK
    except TypeError:
        return True


def _schemas(pin: Pin) -> Schemas:
    known = _compiled.get(pin.digest)
    if known is None:
        return _compile(pin)
    _compiled.move_to_end(pin.digest)
    return known


def _compile(pin: Pin) -> Schemas:
    definition = pin.definition
    output = definition.get("outputSchema")
    schemas = Schemas(
        _ready(definition.get("inputSchema", ANY_OBJECT)),
        None if output is None else _ready(output),
    )
    while len(_compiled) >= KEPT:
        _compiled.popitem(last=False)
    _compiled[pin.digest] = schemas
    return schemas


def _ready(schema: object) -> Compiled:
    if not isinstance(schema, dict):
        return _unusable("the schema is not an object")
    try:
        measured = bounds.measure(schema)
        ready, engine = patterns.contained(schema, measured.patterns)
        validator = jsonschema_rs.validator_for(ready, offline=True, validate_formats=False, pattern_options=engine)
    except (bounds.TooHeavy, patterns.Unreadable) as problem:
        return _unusable(str(problem))
    except (ValueError, jsonschema_rs.ReferencingError):
        return _unusable("the schema is not valid JSON Schema")
    quick = not measured.recursive and ready is schema
    return Compiled(validator.is_valid, validator.iter_errors if quick else None, measured.cost)


def _unusable(problem: str) -> Compiled:
    return Compiled(lambda _: False, None, 0, problem)
