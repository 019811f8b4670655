"""Policies for tests: a folder with one file, loaded as an operator's would be."""

import os
import shutil
from pathlib import Path

from gateway.errors import ConfigError
from gateway.policy import bundle
from gateway.policy.bundle import Bundle


def loaded(folder: Path, text: str, *, package: str = "bascule.call", data: str = "{}") -> Bundle:
    """The bundle of one file in `package`, with data."""
    (folder / "a.rego").write_text(f"package {package}\n\n{text}\n")
    (folder / "data.json").write_text(data)
    return bundle.load(folder)


def refusal(folder: Path, text: str, *, package: str = "bascule.call", data: str = "{}") -> str:
    """Why a file is not loaded, with its place; empty when it is."""
    try:
        loaded(folder, text, package=package, data=data)
    except ConfigError as error:
        return str(error).replace(f"{folder}{os.sep}", "")
    return ""


def opa_binary() -> str:
    """The real OPA. A test that needs it fails without it."""
    found = os.environ.get("BASCULE_OPA") or shutil.which("opa")
    assert found, "needs the opa binary: put it on PATH or name it in BASCULE_OPA (`make test-all` builds it)"
    return found
