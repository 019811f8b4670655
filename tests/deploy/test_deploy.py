"""What a deployment is made of names only what is there, and lets bubblewrap work."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.commands import ran

ROOT = Path(__file__).resolve().parents[2]
NEEDED_BY_BUBBLEWRAP = {
    "clone",
    "clone3",
    "unshare",
    "mount",
    "umount2",
    "pivot_root",
    "setns",
    "sethostname",
    "seccomp",
}


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def test_the_image_copies_what_is_there_and_what_the_build_may_see() -> None:
    seen = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    copied = {
        name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile(), re.MULTILINE) for name in line.split()
    }
    assert copied <= seen
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_ships_what_the_package_includes() -> None:
    included = re.findall(r'^"(\w+)" = "gateway/shipped/', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert included == ["policies", "manifests", "sandboxes"]
    assert all(f"COPY {name} {name}" in dockerfile() for name in included)


def test_the_last_stage_runs_as_nobody_special_and_builds_nothing() -> None:
    last = dockerfile().rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "bubblewrap" in last
    assert not re.search(r"\b(gcc|build-essential|pip install)\b", last)


def test_the_seccomp_profile_refuses_nothing_that_bubblewrap_needs() -> None:
    profile = json.loads((ROOT / "deploy" / "seccomp.json").read_text())
    refused = {name for rule in profile["syscalls"] if "args" not in rule for name in rule["names"]}
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    assert not refused & NEEDED_BY_BUBBLEWRAP
    assert {"bpf", "kexec_load", "init_module", "keyctl", "io_uring_setup", "ptrace"} <= refused


def test_the_unit_sets_nothing_that_would_stop_bubblewrap() -> None:
    unit = (ROOT / "deploy" / "bascule.service").read_text()
    keys = set(re.findall(r"^(\w+)=", unit, re.MULTILINE))
    assert keys & {"User", "NoNewPrivileges", "StateDirectory"} == {"User", "NoNewPrivileges", "StateDirectory"}
    assert not keys & {
        "RestrictNamespaces", "ProtectKernelTunables", "ProtectKernelLogs", "ProtectProc", "ProcSubset",
        "ProtectHostname", "MemoryDenyWriteExecute", "PrivateUsers",
    }  # fmt: skip


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
async def test_the_unit_is_one_that_systemd_reads() -> None:
    ended = await ran(["systemd-analyze", "verify", str(ROOT / "deploy" / "bascule.service")])
    complaints = [line for line in ended.err.splitlines() if "bascule.service" in line and "not executable" not in line]
    assert complaints == []
