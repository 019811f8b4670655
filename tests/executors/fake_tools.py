"""npm, node and uv as small scripts that do what a test says, and keep how they were called."""

import json
import os
import sys
from pathlib import Path
from typing import Any

_SAID = f"""#!{sys.executable} -IS
import json, os, sys
here = os.path.dirname(os.path.abspath(sys.argv[0]))
tool = os.path.basename(sys.argv[0]).removesuffix("-cli.js")
with open(here + "/calls.jsonl", "a") as calls:
    calls.write(json.dumps({{"tool": tool, "argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}}) + "\\n")
with open(here + "/says.json") as file:
    says = json.load(file)
words = [word for word in sys.argv[1:] if not word.startswith("-")]
step = says.get(tool + " " + " ".join(words[:2])) or says.get(tool + " " + words[0], {{}})
if "waits" in step:
    open(step["waits"], "w").close()
    with open(step["until"]) as fifo:
        fifo.read()
for path, content in step.get("writes", {{}}).items():
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    if content.startswith("-> "):
        os.symlink(content[3:], path)
    else:
        with open(path, "w") as file:
            file.write(content)
print(step.get("out", ""))
print(step.get("err", ""), file=sys.stderr)
sys.exit(step.get("code", 0))
"""
_NODE = """#!/bin/sh
if [ "$1" = -p ]; then echo "$0"; else exec "$@"; fi
"""


class FakeTools:
    """A folder for the front of PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.steps: dict[str, Any] = {}
        for tool, text in (("npm-cli.js", _SAID), ("uv", _SAID), ("node", _NODE)):
            (folder / tool).write_text(text)
            (folder / tool).chmod(0o755)
        (folder / "npm").symlink_to("npm-cli.js")
        self._write()

    def says(self, call: str, **step: Any) -> None:
        """What a tool does when it is called with these first words."""
        self.steps[call] = step
        self._write()

    def _write(self) -> None:
        (self.folder / "says.json").write_text(json.dumps(self.steps))

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Every call of npm and uv, oldest first."""
        file = self.folder / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def has_npm(self, *versions: str, name: str = "server", **entry: Any) -> None:
        """npm knows one package, and installs it."""
        version = versions[-1]
        locked = {
            "": {"dependencies": {name: "latest"}},
            f"node_modules/{name}": {"version": version, "integrity": f"sha512-{version}", **entry},
        }
        self.says("npm install", writes={"package-lock.json": json.dumps({"packages": locked})})
        described = json.dumps({"name": name, "version": version, "bin": {"server": "dist/index.js"}})
        modules = f"node_modules/{name}"
        files = {f"{modules}/package.json": described, f"{modules}/dist/index.js": "#!/usr/bin/env node\n"}
        self.says("npm ci", writes=files)
        self.says("npm rebuild", writes={f"{modules}/built": "yes"})

    def has_pypi(self, version: str, name: str = "server", scripts: str = "server = server.cli:main") -> None:
        """uv knows one package, and installs it."""
        lock = f"{name}=={version} \\\n    --hash=sha256:{version.encode().hex():0>64}\n"
        self.says("uv pip compile", writes={"requirements.lock": lock})
        base = os.path.realpath(getattr(sys, "_base_executable"))  # noqa: B009 - no stub knows it
        self.says("uv venv", writes={"venv/bin/python": f"-> {base}", "venv/pyvenv.cfg": "home = x\n"})
        info = f"venv/lib/python3.11/site-packages/{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        points = f"[console_scripts]\n{scripts}\n"
        self.says("uv pip install", writes={f"{info}/METADATA": metadata, f"{info}/entry_points.txt": points})
