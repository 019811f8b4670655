"""Changes to an upstream that is registered: single keys of its entry, every other byte of the file as it was."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node

from gateway import config
from gateway.errors import ConfigError
from gateway.executors.egress.destinations import parse_allow
from gateway.settings import UpstreamSettings
from gateway.yamltext import UPSTREAMS, end_of, flow, line_end, root_of, section, without_pair, write

Changes = Mapping[str, object]
"""Keys of an upstream's entry and what they say now; None takes one out."""


def amend(file: Path, name: str, changes: Changes) -> None:
    """Change an upstream in the file.

    Raises:
        ConfigError: there is no such upstream, or the result would be no valid configuration; nothing is written.
    """
    before = config.text_of(file)
    text = before
    for key, value in changes.items():
        text = with_key(text, str(file), name, key, value)
    config.outline(file, text)
    if text != before:
        write(file, text)


def judged(mode: str | None, until: date | None, trust: str | None) -> dict[str, object]:
    """The changes that another mode or another trust comes to.

    Raises:
        ConfigError: `shadow` without its last day, or a last day without `shadow`.
    """
    changes: dict[str, object] = {}
    if mode == "shadow":
        if until is None:
            raise ConfigError("--mode shadow needs its last day, such as --until 2027-01-31")
        changes = {"mode": "shadow", "until": until.isoformat()}
    elif mode == "enforce":
        changes = {"mode": None, "until": None}
    elif until is not None:
        changes = {"until": until.isoformat()}
    if trust is not None:
        changes["trust"] = trust if trust != "first_use" else None
    return changes


def grants(settings: UpstreamSettings, allow: tuple[str, ...], folders: Mapping[str, str]) -> dict[str, object]:
    """The changes that further hosts and folders come to, beside those that it has.

    Raises:
        ConfigError: one of the hosts is not written as it must be.
    """
    for entry in allow:
        parse_allow(entry)
    hosts = tuple(dict.fromkeys((*settings.network.allow, *allow)))
    granted = {**settings.folders, **folders}
    changes: dict[str, object] = {}
    if hosts != settings.network.allow:
        changes["network"] = {"allow": list(hosts)}
    if granted != settings.folders:
        changes["folders"] = granted
    return changes


def with_key(text: str, file: str, name: str, key: str, value: object) -> str:
    """The text with one key of an upstream's entry said anew, added, or (None) taken out."""
    entry = _entry(text, file, name)
    place = next((place for place, (word, _) in enumerate(entry.value) if word.value == key), None)
    if place is None:
        return text if value is None else _added(text, entry, f"{key}: {flow(value)}")
    word, stands = entry.value[place]
    if value is None:
        return without_pair(text, entry, place)
    colon = text.index(":", word.end_mark.index) + 1
    return f"{text[:colon]} {flow(value)}{text[end_of(text, stands) :]}"


def _entry(text: str, file: str, name: str) -> MappingNode:
    found = section(root_of(text, file), UPSTREAMS)
    pairs: list[tuple[Node, Node]] = found[1].value if found and isinstance(found[1], MappingNode) else []
    for key, entry in pairs:
        if key.value == name and isinstance(entry, MappingNode):
            return entry
    names = ", ".join(str(key.value) for key, _ in pairs) or "none"
    raise ConfigError(f"no upstream '{name}'; there is {names}", file=file)


def _added(text: str, entry: MappingNode, said: str) -> str:
    at = end_of(text, entry.value[-1][1])
    if entry.flow_style:
        return f"{text[:at]}, {said}{text[at:]}"
    at = line_end(text, at)
    newline = "\r\n" if "\r\n" in text else "\n"
    return f"{text[:at]}{newline}{' ' * entry.value[0][0].start_mark.column}{said}{text[at:]}"
