"""Sandbox profiles: `sandboxes/NAME.yaml`, read strictly. A key is here only if the sandbox enforces it.

Not what one server may see beyond it: its folders, its hosts and its secrets are the upstream's own settings.
"""

import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

import orjson
import rfc8785
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from gateway.config import Document, read
from gateway.errors import ConfigError
from gateway.executors.sandbox.syscalls import NAMES
from gateway.model import Digest, JsonObject

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
NONE = "none"
"""Not a profile: the absence of a sandbox."""

SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime", "/etc/timezone"),
    *("/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ca-certificates"),
    *("/etc/pki/ca-trust/extracted", "/etc/pki/tls/certs"),
)
"""What of a host a runtime needs: programs and libraries, the time zone, the certificates of authorities."""


def _system_path(path: str) -> str:
    if not path.startswith("/") or str(PurePosixPath(path)) != path or ".." in PurePosixPath(path).parts:
        raise ValueError("should be an absolute path without . or .. in it")
    if path in {"/", "/etc"} or PurePosixPath(path).parts[1] in {"proc", "sys", "dev", "home", "root", "run", "var"}:
        raise ValueError("is no part of a runtime: give it to the upstream that needs it, under folders")
    return path


def _system_call(name: str) -> str:
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0)
        raise ValueError(f"is no system call; did you mean '{near[0]}'?")
    return name


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("is not the name of a variable")
    return name


def _value(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a zero byte")
    return text


SystemPath = Annotated[str, AfterValidator(_system_path)]
SystemCall = Annotated[str, AfterValidator(_system_call)]
Variable = Annotated[str, AfterValidator(_variable)]
Value = Annotated[str, AfterValidator(_value)]


_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class Limits(_Part):
    """What one server may use. `_mb` are 1,048,576 bytes."""

    memory_mb: int = Field(default=1024, ge=16, le=1 << 20)
    """Memory of all its processes together, watched while a call is under way; above it the server is killed."""
    data_mb: int = Field(default=2048, ge=16, le=1 << 20)
    """Private memory of one process (RLIMIT_DATA); an allocation beyond it fails."""
    pids: int = Field(default=128, ge=4, le=32768)
    """Processes and threads (RLIMIT_NPROC inside the sandbox); one more cannot be started."""
    nofile: int = Field(default=1024, ge=32, le=1 << 20)
    """Open files of one process (RLIMIT_NOFILE)."""
    fsize_mb: int = Field(default=256, ge=1, le=1 << 20)
    """The largest file it may write (RLIMIT_FSIZE)."""
    line_kb: int = Field(default=16384, ge=64, le=1 << 20)
    """The longest line it may print, which is one message."""
    start_s: float = Field(default=60, gt=0, le=3600)
    """Longest time until it has answered for the first time."""
    idle_s: float = Field(default=900, gt=0, le=86400)
    """After so long without a call it is ended; the next call starts it again."""


class Profile(_Part):
    """What every server in it sees of the host, and may use."""

    runtime_ro: tuple[SystemPath, ...] = SYSTEM
    """Files and folders of the host that are visible, read-only. One that is not there is left out."""
    hostname: str = Field(default="sandbox", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """The host's name inside."""
    tmp_mb: int = Field(default=64, ge=1, le=1 << 20)
    """Size of /tmp, which is memory and ends with the server."""
    shm_mb: int = Field(default=16, ge=1, le=1 << 20)
    """Size of /dev/shm, which is memory and ends with the server."""
    work_mb: int = Field(default=1024, ge=1, le=1 << 20)
    """Size of its home, watched while a call is under way; above it the server is killed."""
    env: Mapping[Variable, Value] = Field(default_factory=lambda: dict(_ENV))
    """Variables of every server; the upstream's own come on top."""
    limits: Limits = Limits()
    """What one server may use."""
    extra_deny: tuple[SystemCall, ...] = ()
    """System calls that are refused beyond those that always are."""

    @property
    def digest(self) -> Digest:
        """What names this profile in records: the same for the same content, whatever the file looks like."""
        return Digest(f"sha256:{hashlib.sha256(rfc8785.dumps(self.model_dump(mode='json'))).hexdigest()}")


def load_profile(name: str, folders: Sequence[Path]) -> Profile:
    """The profile of that name, from the first folder that has it.

    Raises:
        ConfigError: there is none, or the file is wrong: file, line, key and what would be right.
    """
    if not NAME.fullmatch(name) or name == NONE:
        raise ConfigError(f"{name!r} cannot be the name of a sandbox profile")
    for folder in folders:
        file = folder / f"{name}.yaml"
        try:
            return parse(file.read_bytes().decode("utf-8"), str(file))
        except FileNotFoundError:
            continue
        except UnicodeDecodeError:
            raise ConfigError("is not UTF-8 text", file=str(file)) from None
        except OSError as problem:
            raise ConfigError(problem.strerror or "cannot be read", file=str(file)) from None
    known = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    raise ConfigError(f"there is no sandbox profile {name!r}; {_advice(name, known)}")


def parse(text: str, file: str) -> Profile:
    """A profile from the text that stands at `file`.

    Raises:
        ConfigError: see `load_profile`.
    """
    document = read(text, file)
    if not isinstance(document.value, dict):
        raise ConfigError("should be a mapping", file=file, line=1)
    if not document.faults:
        try:
            return Profile.model_validate_json(orjson.dumps(document.value), strict=True)
        except ValidationError as problem:
            for error in problem.errors(include_input=False, include_url=False):
                _explain(error, document)
        except orjson.JSONEncodeError:
            document.fault((), "holds a number that does not fit 64 bits")
    faults = sorted(document.faults, key=lambda fault: (fault.line, fault.column))
    more = "".join(f"\n{file}:{fault.line}:{fault.column}: {fault.problem}" for fault in faults[1:])
    raise ConfigError(faults[0].problem + more, file=file, line=faults[0].line, column=faults[0].column)


def json_schema() -> JsonObject:
    """The file's JSON Schema, for editors: `sandboxes/schema.json`."""
    schema = Profile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "sandboxes/NAME.yaml"}


def _advice(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known) or 'none'}"


def _explain(error: ErrorDetails, document: Document) -> None:
    at_key = error["loc"][-1:] == ("[key]",)
    path = error["loc"][:-1] if at_key else error["loc"]
    problem = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if error["type"] == "extra_forbidden":
        known = list((Limits if path[:1] == ("limits",) else Profile).model_fields)
        at_key, problem = True, f"unknown key; {_advice(str(path[-1]), known)}"
    elif error["type"] == "missing":
        problem = "is missing"
    document.fault(path, problem, at_key=at_key)
