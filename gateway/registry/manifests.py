"""Manifests: what the operator states about each tool, one YAML file per upstream, read strictly.

`effects`, `reversal`, `types`, `trust` and `labels` become the noun; the whole entry stays in `stated`.
"""

import difflib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from gateway.errors import ConfigError
from gateway.model import JsonObject, Manifest, TypeSpec
from gateway.registry import pins, shape

NONE = Manifest()
"""Of a tool nobody described: effects and reversal are unknown."""
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Manifests:
    """By upstream, by tool."""

    tools: Mapping[str, Mapping[str, Manifest]]

    def of(self, upstream: str, name: str) -> Manifest:
        """What is stated about a tool; `Manifest()` where nothing is."""
        return self.tools.get(upstream, {}).get(name, NONE)


def load(directory: Path) -> Manifests:
    """Every `<upstream>.yaml` of a folder; nothing where the folder is missing.

    Raises:
        ConfigError: names file, line, key and the nearest known key.
    """
    tools: dict[str, Mapping[str, Manifest]] = {}
    files = sorted(path for path in directory.glob("*") if path.suffix in SUFFIXES) if directory.is_dir() else []
    for file in files:
        if file.stem in tools:
            raise ConfigError(f"{file.stem} has two manifests", file=str(file))
        tools[file.stem] = read(file.read_text(encoding="utf-8"), str(file))
    return Manifests(tools)


def read(text: str, file: str) -> dict[str, Manifest]:
    """One file's manifests, by tool.

    Raises:
        ConfigError: see `load`.
    """
    try:
        data = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = {"line": mark.line + 1, "column": mark.column + 1} if mark else {}
        raise ConfigError(f"not valid YAML: {error.problem}", file=file, **place) from None
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"not valid YAML: {str(error).splitlines()[0]}", file=file) from None
    plain = _plain(data)
    try:
        model = shape.ManifestFile.model_validate(plain)
    except ValidationError as error:
        raise _placed(error, data, file) from None
    return {name: _manifest(tool, plain["tools"][name], f"{file}: {name}") for name, tool in model.tools.items()}


def unmatched(manifests: Manifests, upstream: str, names: Iterable[str]) -> tuple[str, ...]:
    """For an upstream whose tools are known: each manifest entry that names no tool, as a sentence for the operator."""
    known = list(names)
    return tuple(
        f"manifests/{upstream}.yaml: {name} is no tool of {upstream}{_nearest(name, known)}"
        for name in manifests.tools.get(upstream, {})
        if name not in known
    )


def _manifest(tool: shape.Tool, stated: JsonObject, place: str) -> Manifest:
    untrusted = {"untrusted"} if tool.trust == "untrusted" else set()
    try:
        digest = pins.digest(stated)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from None
    return Manifest(
        effects=tuple(tool.effects),
        reversal=tool.reversal,
        types={
            pointer: TypeSpec(semantic.type, semantic.model_dump(exclude={"type"}))
            for pointer, semantic in tool.types.items()
        },
        trust=tool.trust,
        labels=tuple(sorted(untrusted.union(tool.labels))),
        destinations=tuple(tool.destinations),
        inferred=tool.inferred,
        digest=digest,
        stated=stated,
    )


def _plain(data: object) -> Any:
    """YAML's own containers and scalars as plain ones."""
    if isinstance(data, dict):
        return {key if not isinstance(key, str) else str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_plain(value) for value in data]
    if isinstance(data, bool) or data is None:
        return data
    return next((plain(data) for plain in (int, float, str) if isinstance(data, plain)), data)


def _placed(error: ValidationError, data: object, file: str) -> ConfigError:
    """The first error, with the line of the deepest key of it that stands in the file."""
    found = error.errors(include_url=False, include_input=False)
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    location, line, column, at = [part for part in first["loc"] if part != "[key]"], 1, 1, data
    path: list[str] = []
    for part in location:
        if isinstance(at, CommentedMap) and part in at:
            line, column = (place + 1 for place in at.lc.key(part))
        elif isinstance(at, CommentedSeq) and isinstance(part, int) and part < len(at):
            line, column = (place + 1 for place in at.lc.item(part))
        else:
            continue  # a part of the model (the tag of a union, a missing key), not of the file
        path.append(str(part))
        at = at[part]
    where = ".".join(path) or "the file"
    key = str(location[-1]) if location else ""
    if first["type"] == "extra_forbidden":
        problem = f"{where}: unknown key{_nearest(key, _known_keys(location[:-1]))}"
    elif first["type"] == "missing":
        problem = f"{where}: lacks {key}"
    else:
        problem = f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}"
    return ConfigError(problem, file=file, line=line, column=column)


def _nearest(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"; the nearest is {near[0]}"
    return f"; known are {', '.join(known[:30])}" if known else ""


def _known_keys(location: list[int | str]) -> set[str]:
    """The keys of the model an error's location leads to."""
    models: list[type[BaseModel]] = [shape.ManifestFile]
    for part in location:
        found = [step for model in models for step in _steps(model, part)]
        models = found or models
    return {key for model in models for key in model.model_fields}


def _steps(model: type[BaseModel], part: int | str) -> list[type[BaseModel]]:
    """The models one part of a location may lead to."""
    field = model.model_fields.get(str(part))
    return [] if field is None else _models(field.annotation)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models an annotation holds, through containers and unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in _models(argument)]
