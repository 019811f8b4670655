"""Bytes that lie in the store and are not to be read there: sealed with a key of their own, bound to their name.

Not the payloads of the log (audit/seal.py), nor what a client carries (rounds.py).
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import Unreadable

_NONCE: Final = 12


class Box:
    """AES-GCM under a key derived from `secret`, the gateway's sealing key, for one `purpose`."""

    def __init__(self, secret: bytes, purpose: bytes) -> None:
        self._cipher = AESGCM(HKDF(hashes.SHA256(), 32, None, purpose).derive(secret))

    def seal(self, name: str, content: bytes) -> bytes:
        """The content as it is stored."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, name.encode())

    def opened(self, name: str, stored: bytes) -> bytes:
        """The content again.

        Raises:
            Unreadable: it was changed, belongs to another name, or was sealed with another key.
        """
        try:
            return self._cipher.decrypt(stored[:_NONCE], stored[_NONCE:], name.encode())
        except (InvalidTag, ValueError):
            raise Unreadable(f"what is stored of {name} does not open") from None
