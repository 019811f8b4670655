"""Random policies against OPA's own compiler, and the shipped ones against OPA's own tools."""

import os
import re
import subprocess  # noqa: TID251 - a real compiler
from pathlib import Path
from random import Random

import pytest

from gateway.errors import ConfigError
from gateway.policy import bundle
from tests.policy.random_rego import policy
from tests.policy.rego import opa_binary

MANY = 2_000
SEED = 20261122
"""The gate asks the same 2,000 each time, so that a red one is a change of ours; `SEED=N make test-all` asks others."""
SHIPPED = bundle.shipped()


def opa(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([opa_binary(), *arguments], capture_output=True, text=True, check=False, timeout=120)


def test_the_same_seed_writes_the_same_policy() -> None:
    assert policy(Random(1), "a") == policy(Random(1), "a")
    assert policy(Random(1), "a") != policy(Random(2), "a")


@pytest.mark.slow
def test_no_policy_that_is_loaded_is_one_that_opa_refuses(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", SEED))
    print(f"SEED={seed}")
    random, mine, theirs = Random(seed), tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir()
    theirs.mkdir()
    loaded = 0
    while loaded < MANY:
        text = policy(random, "bascule.call")
        (mine / "a.rego").write_text(text)
        try:
            bundle.load(mine)
        except ConfigError:
            continue
        (theirs / f"p{loaded}.rego").write_text(text.replace("package bascule.call", f"package random.p{loaded}", 1))
        loaded += 1
    said = opa("check", "--strict", "--max-errors", "100", str(theirs))
    wrong = sorted(set(re.findall(r"p\d+\.rego", said.stderr + said.stdout)))
    assert not wrong, said.stderr + "\n".join((theirs / name).read_text() for name in wrong[:5])
    assert said.returncode == 0, said.stderr


@pytest.mark.slow
def test_the_judge_refuses_what_it_should_so_that_its_silence_means_something(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text('package a\n\ndeny contains "x" if not input.roles[_] == "admin"\n')
    said = opa("check", "--strict", str(tmp_path))
    assert said.returncode != 0
    assert "rego_unsafe_var_error" in said.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--strict", "-s", str(SHIPPED / "schemas"), str(SHIPPED)),
        ("test", "-b", str(SHIPPED)),
        ("fmt", "--diff", "--fail", str(SHIPPED)),
    ],
    ids=["check", "test", "fmt"],
)
def test_the_shipped_policies_are_clean_under_opas_own_tools(arguments: tuple[str, ...]) -> None:
    said = opa(*arguments)
    assert said.returncode == 0, said.stdout + said.stderr
    if arguments[0] == "fmt":
        assert said.stdout == ""


@pytest.mark.slow
def test_the_schema_makes_opa_refuse_a_field_that_is_none(tmp_path: Path) -> None:
    head = "# METADATA\n# schemas:\n#   - input: schema.input\npackage bascule.call\n\n"
    (tmp_path / "a.rego").write_text(head + 'deny contains "x" if input.tool.nmae == "y"\n')
    said = opa("check", "--strict", "-s", str(SHIPPED / "schemas"), str(tmp_path))
    assert said.returncode != 0
    assert 'have: "nmae"' in said.stderr
