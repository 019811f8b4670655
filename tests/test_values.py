"""The kinds of values of a configuration, each with its own rule."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway import values


def refused(kind: Any, value: object, **context: object) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value, context=context)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (values.UpstreamName, "a__b", "separates upstream and tool"),
        (values.UpstreamName, "view", "is taken by an address"),
        (values.UpstreamName, "Files", "match pattern"),
        (values.PrincipalName, "local", "is reserved"),
        (values.Url, "ftp://a.example", "should be an http or https address"),
        (values.Url, "http://[", "should be an http or https address"),
        (values.Url, "https://u:p@a.example", "holds a password"),
        (values.Url, "https://a.example/#x", "without '#'"),
        (values.HeaderName, "Host", "the gateway sets this header itself"),
        (values.HeaderName, "a b", "is not a header name"),
        (values.HeaderValue, "a\r\nb: c", "no header may hold"),
        (values.Argument, "a\0b", "null character"),
        (values.Secret, "a\0b", "null character"),
        (values.VariableName, "A=B", "match pattern"),
        (values.Folder, "/srv/..", "the whole machine cannot be granted"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_what_would_be_right(kind: Any, value: str, problem: str) -> None:
    assert problem in refused(kind, value)


def test_a_folder_is_written_as_it_is_meant_and_relative_to_the_file(tmp_path: Path) -> None:
    folder = TypeAdapter[str](values.Folder)
    assert folder.validate_python("docs/../b", context={"folder": tmp_path}) == str(tmp_path / "b")
    assert folder.validate_python("~/b") == str(Path.home() / "b")


def test_a_secret_is_looked_up_where_somebody_is_there_to_ask() -> None:
    secret = TypeAdapter[str](values.Secret)
    assert secret.validate_python("${A}", context={"secret": lambda _: "found"}) == "found"
    assert secret.validate_python("${A}") == "${A}"


@pytest.mark.parametrize("days", ["30d", "1d"])
def test_days_are_written_with_their_unit(days: str) -> None:
    kind = TypeAdapter[int](values.Days)
    assert kind.validate_python(days) == int(days[:-1])
    assert "with their unit" in refused(values.Days, 30, folder=Path())
    assert "whole days" in refused(values.Days, "1.5d")
