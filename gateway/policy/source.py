"""What a directory or tarball of policies holds: Rego, its tests, and data put together as OPA puts it.

`data.json` and `data.yaml` below a folder stand at that folder's path in `data`; live data at its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import jiter
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from gateway.errors import ConfigError
from gateway.model import JsonObject
from gateway.policy import archive
from gateway.policy.inputs import LARGEST_INTEGER, SMALLEST_INTEGER

DATA_NAMES = ("data.json", "data.yaml", "data.yml")
TEST_ENDING = "_test.rego"


@dataclass(frozen=True, slots=True)
class Found:
    """The files that matter, by path below the place they were found in."""

    rego: Mapping[str, str]
    tests: Mapping[str, str]
    data: Mapping[str, bytes]


def read(place: Path) -> Found:
    """Every Rego and data file at `place`; hidden files and folders are passed over."""
    files = _folder(place) if place.is_dir() else _tarball(place)
    rego = {path: _text(body, place / path) for path, body in files.items() if path.endswith(".rego")}
    return Found(
        rego={path: text for path, text in rego.items() if not path.endswith(TEST_ENDING)},
        tests={path: text for path, text in rego.items() if path.endswith(TEST_ENDING)},
        data={path: body for path, body in files.items() if PurePosixPath(path).name in DATA_NAMES},
    )


def merged(data: Mapping[str, bytes], live: Mapping[str, bytes], place: Path) -> JsonObject:
    """All data as one document; two files that state the same thing are refused."""
    whole: JsonObject = {}
    for path in sorted(data):
        value = parsed(data[path], place / path)
        for folder in reversed(PurePosixPath(path).parent.parts):
            value = {folder: value}
        if not isinstance(value, dict):
            raise ConfigError("should be an object: its keys are the names below `data`", file=str(place / path))
        _merge(whole, value, str(place / path))
    for name, body in live.items():
        _merge(whole, {name: parsed(body, Path(f"policy.data.{name}.json"))}, f"policy.data.{name}")
    return whole


def parsed(body: bytes, file: Path) -> Any:
    """A data file's value: JSON as strictly as a message, YAML as far as it says JSON."""
    try:
        value = _yaml(body, file) if file.suffix in {".yaml", ".yml"} else _json(body, file)
        _check_value(value, "", file)
    except RecursionError:
        raise ConfigError("is nested too deep, or holds itself", file=str(file)) from None
    return value


def _folder(place: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for path in sorted(place.rglob("*")):
        relative = path.relative_to(place)
        if _is_hidden(relative) or not path.is_file():
            continue
        if path.suffix == ".rego" or path.name in DATA_NAMES:
            files[relative.as_posix()] = path.read_bytes()
    return files


def _tarball(place: Path) -> dict[str, bytes]:
    try:
        content = place.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(place)) from error
    files = archive.unpack(content, file=str(place))
    return {path: body for path, body in files.items() if not _is_hidden(PurePosixPath(path))}


def _is_hidden(path: PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _text(body: bytes, file: Path) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise ConfigError("is not UTF-8", file=str(file), line=line) from error


def _json(body: bytes, file: Path) -> Any:
    try:
        return jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as error:
        raise ConfigError(f"is not strict JSON: {error}", file=str(file)) from error


def _yaml(body: bytes, file: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(body)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise ConfigError(f"is not YAML: {error.problem}", file=str(file), line=line, column=column) from error
    except YAMLError as error:
        raise ConfigError("is not YAML", file=str(file)) from error


def _check_value(value: Any, pointer: str, file: Path) -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise ConfigError(f"{pointer or '/'}: key {key!r} should be text: put it in quotes", file=str(file))
            _check_value(each, f"{pointer}/{key}", file)
    elif isinstance(value, list):
        for place, each in enumerate(value):
            _check_value(each, f"{pointer}/{place}", file)
    elif isinstance(value, int) and not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        raise ConfigError(f"{pointer or '/'}: integers beyond 64 bits should be given as text", file=str(file))
    elif value is not None and not isinstance(value, str | int | float):
        raise ConfigError(f"{pointer or '/'}: {value} is no JSON value: put it in quotes", file=str(file))
    elif isinstance(value, float) and not abs(value) < float("inf"):
        raise ConfigError(f"{pointer or '/'}: {value} is no JSON number", file=str(file))


def _merge(whole: JsonObject, part: JsonObject, file: str, pointer: str = "data") -> None:
    for key, value in part.items():
        there = whole.get(key)
        if key not in whole:
            whole[key] = value
        elif isinstance(there, dict) and isinstance(value, dict):
            _merge(there, value, file, f"{pointer}.{key}")
        else:
            raise ConfigError(f"{pointer}.{key} is stated by another file too", file=file)
