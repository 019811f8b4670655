"""The operator's YAML as text: edits that change only the bytes they mean, written in one step.

Comments, order, quotes and spacing elsewhere stay as they were. Not what an entry may say: settings.py judges that.
"""

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from gateway import config
from gateway.errors import ConfigError

UPSTREAMS = ("upstreams", "mcpServers")
"""The two words for them."""


def write(file: Path, text: str) -> None:
    """Replace the file in one step, with the mode it had (0600 where there was none)."""
    target = file.resolve()
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(text.encode("utf-8"))
            out.flush()
            os.fsync(out.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except OSError as problem:
        Path(temporary).unlink(missing_ok=True)
        raise ConfigError(f"cannot be written: {problem.strerror}", file=str(file)) from None


def with_entries(text: str, file: str, words: Sequence[str], said: Mapping[str, Mapping[str, object]]) -> str:
    """The text with more entries in the mapping that one of `words` names, after those that are there."""
    if not said:
        return text
    root = root_of(text, file)
    newline = "\r\n" if "\r\n" in text else "\n"
    entries = [f"{name}: {flow(value)}" for name, value in said.items()]
    inline = ", ".join(f'"{name}": {quoted(value)}' for name, value in said.items())
    found = section(root, words)
    if found is None:
        if root.flow_style:
            return insert_in_flow(text, root, f'"{words[0]}": {{{inline}}}')
        end = text if text.endswith("\n") else text + newline
        return newline.join([f"{end}{words[0]}:", *(f"  {entry}" for entry in entries), ""])
    key, value = found
    if root.flow_style or (isinstance(value, MappingNode) and value.flow_style and value.value):
        return insert_in_flow(text, value, inline if root.flow_style else ", ".join(entries))
    if isinstance(value, MappingNode) and value.value:
        indent, at = value.value[0][0].start_mark.column, line_end(text, end_of(text, value))
    else:
        # `{}` or nothing: the value goes, entries follow on lines of their own.
        colon = text.index(":", key.end_mark.index) + 1
        stands = text[colon : end_of(text, value)]
        text = text[:colon] + text[colon + len(stands) :] if stands.strip() else text
        indent, at = 2, line_end(text, colon)
    return text[:at] + "".join(f"{newline}{' ' * indent}{entry}" for entry in entries) + text[at:]


def root_of(text: str, file: str) -> MappingNode:
    """The file's mapping. Raises ConfigError where it is none."""
    root = config.compose(text, file)
    if not isinstance(root, MappingNode):
        raise ConfigError("should be a mapping that begins with `version: 1`", file=file, line=1)
    return root


def section(root: MappingNode, words: Sequence[str]) -> tuple[Node, Node] | None:
    """The key and the value of the mapping that one of the words names."""
    return next(((key, value) for key, value in root.value if key.value in words), None)


def end_of(text: str, node: Node) -> int:
    """Where the node's last character stands; a block's own end mark lies behind its comments."""
    if isinstance(node, ScalarNode):
        return int(node.start_mark.index) + len(text[node.start_mark.index : node.end_mark.index].rstrip())
    if not isinstance(node, CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return end_of(text, last[1] if isinstance(node, MappingNode) else last)


def line_end(text: str, at: int) -> int:
    """Where the line ends that holds this place."""
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return end - 1 if end > at and text[end - 1] == "\r" else end


def without_pair(text: str, mapping: MappingNode, place: int) -> str:
    """The text without one pair of a mapping: its own lines, or its part of a line, are gone."""
    key, stands = mapping.value[place]
    if mapping.flow_style:
        if place + 1 < len(mapping.value):
            return text[: key.start_mark.index] + text[mapping.value[place + 1][0].start_mark.index :]
        start = end_of(text, mapping.value[place - 1][1]) if place else key.start_mark.index
        return text[:start] + text[end_of(text, stands) :]
    start, end = key.start_mark.index - key.start_mark.column, line_end(text, end_of(text, stands))
    return text[:start] + text[end + (2 if text.startswith("\r\n", end) else 1) :]


def insert_in_flow(text: str, node: Node, entry: str) -> str:
    """The text with one more entry at the end of a flow collection."""
    if node.value:
        at, entry = end_of(text, node.value[-1][1]), f", {entry}"
    else:
        at = int(node.end_mark.index) - 1
    return text[:at] + entry + text[at:]


def flow(value: object) -> str:
    """A value as one line of YAML."""
    if isinstance(value, Mapping):
        pairs = (f"{_plain(str(key), r'[A-Za-z_][A-Za-z0-9_-]*')}: {flow(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(flow, value)) + "]"
    return _plain(str(value), r"shadow|review|all|oauth|default|ro|rw|\d{4}-\d\d-\d\d")


def _plain(text: str, unquoted: str) -> str:
    return text if re.fullmatch(unquoted, text) else quoted(text)


def quoted(value: object) -> str:
    """JSON that is YAML too: what YAML does not print stands escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda match: f"\\u{ord(match[0]):04x}", text)
