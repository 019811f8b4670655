"""Manifests that come with Bascule, by the package of the server they describe, and what that server needs.

A person wrote them for the versions they name; they are copied beside the configuration and belong to the operator
from then on. Nothing here looks whether the server installed is of such a version: its pins do.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML

from gateway.errors import ConfigError
from gateway.registry.drafts import WORK
from gateway.resources import resource

PLACE = "manifests/ready"
CATALOGUE = "catalogue.yaml"


class Ready(BaseModel):
    """What is ready for one package."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    manifest: str
    policy: str
    """A file of `policies/packs/servers`, to be copied beside the starter policy."""
    versions: tuple[str, ...]
    env: Mapping[str, str] = {}
    """What its environment needs where it is confined."""
    beside: tuple[str, ...] = ()
    """What has to be installed beside it (`uvx --with`)."""
    needs: tuple[str, ...] = ()
    """Programs of the host that it runs."""
    network: bool = False
    """Whether it is of no use without a network."""
    note: str = ""


def catalogue() -> Mapping[str, Ready]:
    """Everything that is ready, by package."""
    file = resource(f"{PLACE}/{CATALOGUE}")
    plain = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    try:
        return TypeAdapter(dict[str, Ready]).validate_python(plain)
    except ValidationError as error:
        raise ConfigError(f"is not as it was shipped: {error.errors()[0]['msg']}", file=str(file)) from None


def ready(package: str, folders: Sequence[str], hosts: Sequence[str] = ()) -> str | None:
    """The manifest for a package, written for what an upstream is given; None where there is none.

    `folders` are what it may see, `hosts` the names of its `network.allow`: with any, they are all that it may name,
    private ones too, since a private address stands there only by itself. A version behind the name is passed over.
    """
    found = catalogue().get(_name(package))
    if found is None:
        return None
    text = _file(found.manifest).read_text(encoding="utf-8")
    for place, value in (
        ('["${folders}"]', list(dict.fromkeys([*folders, WORK]))),
        ('["${hosts}"]', [host.lower() for host in hosts]),
        ('"${private}"', bool(hosts)),
    ):
        text = text.replace(place, json.dumps(value))
    return text


def needs(package: str) -> Ready | None:
    """What the catalogue says of a package."""
    return catalogue().get(_name(package))


def _file(name: str) -> Path:
    return resource(f"{PLACE}/{name}")


def _name(package: str) -> str:
    """`@scope/name@1.2` and `name==1.2` without the version."""
    name, at, _ = package.partition("==")
    return name if at else package[:1] + package[1:].partition("@")[0]
