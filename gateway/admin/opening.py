"""The sealed values of many records: the key is read once. For one record there is `records.opened`."""

from dataclasses import dataclass

from gateway.audit import seal
from gateway.errors import ConfigError
from gateway.model import JsonObject
from gateway.storage.database import Reader


@dataclass(frozen=True, slots=True)
class Opener:
    """A reader and what opens its payloads; without a key nothing does."""

    reader: Reader
    sealing: bytes | None

    def opened(self, index: int, leaf: JsonObject) -> dict[str, bytes] | None:
        """By name; None where the values were never kept or are erased.

        Raises:
            ConfigError: they are there and do not open.
        """
        payload = self.reader.payload(index) if self.sealing else None
        if payload is None or self.sealing is None:
            return None
        try:
            return seal.opened(self.sealing, leaf["id"], payload.salt, payload.sealed)
        except seal.Unsealable as error:
            raise ConfigError(
                f"the payload of record {index} does not open: {error}; see `bascule audit verify`"
            ) from None
