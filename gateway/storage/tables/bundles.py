"""The table of policy bundles, each under the digest that decisions name."""

from typing import Any

from gateway.storage.tables.statement import Row, Statement
from gateway.writes import BundleStored


def _stored(_leaf: int, _at: int, write: BundleStored) -> Row:
    return (write.digest, write.content)


WRITES: dict[type[Any], Statement] = {
    BundleStored: Statement("INSERT OR IGNORE INTO bundles (digest, content) VALUES (?, ?)", _stored),
}
