"""Which arguments mean something: by name, by format, and never on a server's word that reads oddly."""

from typing import Any

import pytest

from gateway.registry.arguments import DEEPEST, Argument, arguments, words

TEXT = {"type": "string"}


def found(properties: dict[str, Any], **more: Any) -> dict[str, str]:
    schema = {"type": "object", "properties": properties, **more}
    return {argument.pointer: argument.type for argument in arguments(schema)}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"path": TEXT, "content": TEXT}, {"/path": "path"}),
        ({"repo_path": TEXT, "filePath": TEXT}, {"/repo_path": "path", "/filePath": "path"}),
        ({"out-dir": TEXT}, {"/out-dir": "path"}),
        ({"paths": {"type": "array", "items": TEXT}}, {"/paths/*": "path"}),
        ({"url": TEXT, "baseURL": TEXT}, {"/url": "url", "/baseURL": "url"}),
        ({"data": {"type": "string", "format": "uri"}}, {"/data": "url"}),
        ({"who": {"type": "string", "format": "email"}}, {"/who": "email"}),
        ({"to": TEXT, "bcc": TEXT}, {"/to": "", "/bcc": ""}),
        ({"to": {"type": "array", "items": TEXT}}, {"/to/*": ""}),
        ({"edges": {"type": "array", "items": {"type": "object", "properties": {"to": TEXT}}}}, {}),
        ({"source": {"type": "string", "description": "Path of the file to move"}}, {"/source": "path"}),
        ({"source": {"type": "string", "description": "Where it was heard"}}, {}),
        ({"edits": {"type": "array", "items": {"type": "object", "properties": {"file": TEXT}}}},
         {"/edits/*/file": "path"}),
        ({"a/b": {"type": "object", "properties": {"path": TEXT}}}, {"/a~1b/path": "path"}),
        ({"path": {"type": "integer"}, "file": {"type": ["string", "null"]}, "dir": {"anyOf": [TEXT]}}, {}),
        ({"path": {"type": "string", "enum": ["a", "b"]}}, {}),
        ({"*": TEXT, "": TEXT, "path\x00": TEXT}, {}),
        ({"profile": TEXT, "pathology": TEXT, "tool": TEXT}, {}),
    ],
)  # fmt: skip
def test_an_argument_means_what_its_name_or_format_says(properties: dict[str, Any], expected: dict[str, str]) -> None:
    assert found(properties) == expected


def test_a_definition_within_the_schema_is_followed() -> None:
    defined = {"Edit": {"type": "object", "properties": {"path": TEXT}}}
    assert found({"edit": {"$ref": "#/$defs/Edit"}}, **{"$defs": defined}) == {"/edit/path": "path"}


@pytest.mark.parametrize(
    "schema",
    [None, "text", [], {"type": "object"}, {"type": "object", "properties": []}, {"type": "string"},
     {"type": "object", "properties": {"path": True}},
     {"type": "object", "properties": {"path": {"$ref": "https://evil.example/x"}}},
     {"type": "object", "properties": {"path": {"$ref": "#/$defs/x"}}}],
)  # fmt: skip
def test_what_is_no_plain_schema_means_nothing(schema: Any) -> None:
    assert list(arguments(schema)) == []


def test_a_schema_that_holds_itself_ends() -> None:
    whole: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "path": TEXT}}
    whole["$defs"] = {"Node": whole}
    found = list(arguments(whole))
    assert (found[-1], len(found)) == (Argument("/path", "path"), DEEPEST)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("repoPath", ["repo", "path"]),
        ("get_URL", ["get", "url"]),
        ("a-b.c2", ["a", "b", "c", "2"]),
        ("HTTPServer", ["http", "server"]),
    ],
)
def test_names_are_taken_apart_wherever_they_break(name: str, expected: list[str]) -> None:
    assert words(name) == expected
