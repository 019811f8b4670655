"""The rules of the house: sizes, names, mirrors, and nothing that only its author can run."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for path in (ROOT / "gateway").rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "service", "handler", "base"}


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def holds_code(path: Path) -> bool:
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for node in ast.walk(ast.parse(path.read_text()))
    )


@pytest.mark.promise("house.sizes")
def test_no_file_is_over_400_lines_and_no_function_over_40() -> None:
    long_files = [str(path) for path in SOURCES if len(path.read_text().splitlines()) > 400]
    long_functions = [name for path in SOURCES for name, lines in functions(path) if lines > 40]
    assert long_files == []
    assert long_functions == []


@pytest.mark.promise("house.mirror")
def test_every_source_file_has_its_mirror_test_file() -> None:
    missing = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.name not in {"__init__.py", "__main__.py"}
        and holds_code(path)
        and not path.is_relative_to(ROOT / "gateway/storage/tables")  # one test tries every statement there is
        and not (ROOT / "tests" / path.relative_to(ROOT / "gateway").parent / f"test_{path.name}").exists()
    ]
    assert missing == []


@pytest.mark.promise("house.mirror")
def test_no_name_hides_what_a_file_holds() -> None:
    assert [str(path) for path in SOURCES if path.stem in FORBIDDEN_NAMES] == []


@pytest.mark.promise("house.words")
def test_every_module_says_in_its_first_line_what_it_is() -> None:
    silent = [
        str(path) for path in SOURCES if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


@pytest.mark.promise("house.lock")
@pytest.mark.parametrize(
    "lock", sorted(ROOT.glob("*.lock")) + sorted(ROOT.glob("tests/servers/*.lock")), ids=lambda path: path.name
)
def test_lock_files_pin_with_hashes_and_hold_no_addresses(lock: Path) -> None:
    text = lock.read_text()
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)
    pins = re.findall(r"^[A-Za-z0-9._\[\],-]+==\S+", text, flags=re.MULTILINE)
    assert pins
    assert len(re.findall(r"==\S+(?: ; [^\\\n]*)? \\\n\s+--hash=sha256:", text)) == len(pins)
