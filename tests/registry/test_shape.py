"""The shape of manifests: its JSON Schema is checked in, and its types are those the validators have."""

import json
from pathlib import Path

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from gateway.registry import shape
from gateway.validators.types import TYPES

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"


def test_the_schema_file_is_the_shape() -> None:
    assert (MANIFESTS / "schema.json").read_text() == shape.schema_text(), (
        "write gateway.registry.shape.schema_text() to manifests/schema.json"
    )


def test_every_semantic_type_is_one_the_validators_know() -> None:
    definitions = shape.json_schema()["$defs"]
    named = {one["properties"]["type"]["const"] for one in definitions.values() if "type" in one.get("properties", {})}
    assert named == TYPES.keys()


@pytest.mark.parametrize("file", sorted(MANIFESTS.glob("*.yaml")), ids=lambda file: file.name)
def test_every_shipped_manifest_fits_the_schema(file: Path) -> None:
    data = YAML(typ="safe", pure=True).load(file.read_text())
    jsonschema_rs.Draft202012Validator(shape.json_schema()).validate(data)


@pytest.mark.parametrize(
    ("tools", "fits"),
    [
        ({"a": {"types": {"/p": "path", "/q/*": {"type": "url", "hosts": ["x.org"]}}}}, True),
        ({"a": {"types": {"/p": "paths"}}}, False),
        ({"a": {"types": {"p": "path"}}}, False),
        ({"a": {"types": {"/p": {"type": "path", "hosts": []}}}}, False),
        ({"a": {"effects": ["reads"]}}, False),
        ({"a": {"effect": ["read"]}}, False),
    ],
)
def test_the_schema_says_what_the_reader_says(tools: object, fits: bool) -> None:
    assert jsonschema_rs.Draft202012Validator(shape.json_schema()).is_valid({"tools": tools}) is fits
    assert json.loads(shape.schema_text()) == shape.json_schema()
