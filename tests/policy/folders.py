"""Folders of policies for tests, and modules of them."""

from pathlib import Path

import regorus

from gateway.policy import syntax

CALL = "package bascule.call\n\n"


def written(folder: Path, files: dict[str, str]) -> Path:
    """The folder with these files in it."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def modules(*texts: str) -> tuple[syntax.Module, ...]:
    """Parsed files, called 0.rego, 1.rego, …"""
    engine = regorus.Engine()
    for place, text in enumerate(texts):
        engine.add_policy(f"{place}.rego", text)
    return syntax.modules(engine.get_ast_as_json())
