"""A folder of policies as its author tries it: the bundle that would decide, and its tests beside it.

The folder of the shipped policies holds the entries themselves; every bundle has them already, so there they
are not loaded a second time. Not what a gateway decides with: that is `bundle.load`.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import regorus

from gateway.errors import ConfigError
from gateway.model import Point
from gateway.policy import archive, bundle, layers, safety, source, syntax

INPUT_SCHEMA = "schemas/input.json"
"""Below the shipped policies: what a policy is asked about."""


def load(place: Path) -> bundle.Bundle:
    """The bundle of a folder or tarball.

    Raises:
        ConfigError: it may not decide; with its place.
    """
    shipped = {(bundle.shipped() / f"{point}.rego").read_text() for point in Point}
    found = source.read(place)
    rest = {path: text for path, text in found.rego.items() if text not in shipped}
    if len(rest) == len(found.rego):
        return bundle.load(place)
    files = {path: text.encode() for path, text in {**rest, **found.tests}.items()} | dict(found.data)
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(archive.pack(files))
        file.flush()
        try:
            return bundle.load(Path(file.name))
        except ConfigError as error:
            problem, fault = (text.replace(file.name, str(place)) for text in (error.problem, error.file))
            raise ConfigError(problem, file=fault, line=error.line, column=error.column) from None


def shown(path: str, place: Path) -> str:
    """Where a file of the bundle of `place`, or a test of it, is to be found."""
    if path.startswith(bundle.ENTRIES):
        return str(bundle.shipped() / path.removeprefix(bundle.ENTRIES))
    return str(place / path.removeprefix(bundle.USER))


def with_tests(loaded: bundle.Bundle) -> tuple[regorus.Engine, tuple[syntax.Module, ...]]:
    """An engine that holds the bundle and its tests, and every file in it.

    A test is judged as strictly as a policy: `not deny[_] == "x"` would pass where it should fail.

    Raises:
        ConfigError: a test file cannot be run as its author means it.
    """
    engine = bundle.compiled(loaded)
    for path in sorted(loaded.tests):
        try:
            engine.add_policy(path, loaded.tests[path])
        except RuntimeError as error:
            raise bundle.fault(str(error), path, loaded.tests[path]) from None
    modules = syntax.modules(engine.get_ast_as_json())
    for module in modules:
        if module.file in loaded.tests:
            _check_additions(module)
    theirs = frozenset(loaded.tests)
    safety.check((_printing_nothing(module) if module.file in theirs else module for module in modules), theirs)
    return engine, modules


def _printing_nothing(module: syntax.Module) -> syntax.Module:
    """The file with a list of what it prints in the place of every `print`, which no policy may call."""

    def silent(node: syntax.Node) -> syntax.Node:
        parts, query = tuple(map(silent, node.parts)), tuple(map(line, node.query))
        if node.kind == "call" and syntax.name_of(node.parts[0]) == "print":
            return replace(node, kind="array", parts=parts[1:])
        return replace(node, parts=parts, query=query)

    def line(one: syntax.Statement) -> syntax.Statement:
        return replace(one, parts=tuple(map(silent, one.parts)), query=tuple(map(line, one.query)))

    def body(one: syntax.Body) -> syntax.Body:
        return replace(one, query=tuple(map(line, one.query)), value=one.value and silent(one.value))

    return replace(
        module,
        rules=tuple(
            replace(rule, key=rule.key and silent(rule.key), bodies=tuple(map(body, rule.bodies)))
            for rule in module.rules
        ),
    )


def _check_additions(module: syntax.Module) -> None:
    """A test that adds to what it tests shows something that will never decide."""
    own = {layers.ENTRY, *(name for names in layers.SETS.values() for name in names)}
    for rule in module.rules:
        if (
            rule.package[0] == layers.ROOT
            and rule.package[1:2] in {(str(point),) for point in Point}
            and rule.head[0] in own
        ):
            raise ConfigError(
                f"a test may not add to `{rule.head[0]}`: give it as `with data.{'.'.join(rule.path)} as …`",
                file=rule.file,
                line=rule.line,
                column=rule.column,
            )
