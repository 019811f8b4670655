"""The logins at upstreams, kept: one encrypted file for each in `tokens/` of the state folder.

Not what they are good for (oauth.py). The key lies beside them: sealing keeps a copy, a listing or a backup of the
folder from giving a login away, not somebody who reads as the gateway's own user.
"""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from mcp.shared.auth import OAuthClientInformationFull, OAuthMetadata, OAuthToken, ProtectedResourceMetadata
from pydantic import ValidationError

from gateway.errors import ConfigError

FOLDER, KEY = "tokens", "tokens.key"
MOST_BYTES = 1_048_576
_KEY_BYTES = 32
_NONCE_BYTES = 12
_MAGIC = b"bascule login 1\n"

Stamp = tuple[int, int, int]
"""Which file it is and when it was written: another stamp is another login."""


@dataclass(frozen=True, slots=True)
class Login:
    """What one login gave. It is good for one resource and one issuer only."""

    resource: str
    """The upstream's address."""
    metadata: OAuthMetadata = field(repr=False)
    """Of the authorisation server, as it was when somebody logged in."""
    protected: ProtectedResourceMetadata | None = field(repr=False)
    client: OAuthClientInformationFull = field(repr=False)
    """Whom the authorisation server takes us for; without the secret where the configuration holds it."""
    tokens: OAuthToken = field(repr=False)
    expires_at: float | None = None
    """Seconds since the epoch; None where the server does not say."""

    @property
    def issuer(self) -> str:
        """The authorisation server's name for itself."""
        return str(self.metadata.issuer)


class Held:
    """The SDK's token storage for one flow: what it is given it holds, and nothing is written."""

    def __init__(self, client: OAuthClientInformationFull | None, tokens: OAuthToken | None = None) -> None:
        self._client, self._tokens = client, tokens

    async def get_tokens(self) -> OAuthToken | None:
        """The tokens."""
        return self._tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Hold other tokens."""
        self._tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """The client."""
        return self._client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Hold another client."""
        self._client = client_info


class Vault:
    """The file of one upstream's login."""

    def __init__(self, state: Path, name: str, key: bytes) -> None:
        self._folder = state / FOLDER
        self.path = self._folder / f"{name}.sealed"
        self._bound = b"bascule login of " + name.encode()
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return f"Vault({str(self.path)!r})"

    def stamp(self) -> Stamp | None:
        """Which login lies there; None where there is none."""
        try:
            return _stamp(self.path.lstat())
        except OSError:
            return None

    def read(self) -> tuple[Login, Stamp] | None:
        """The login that lies there; None where there is none.

        Raises:
            ConfigError: what lies there is not to be read.
        """
        try:
            with os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                status = os.fstat(file.fileno())
                _refuse_open(self.path, status)
                content = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", file=str(self.path)) from None
        return self._opened(content), _stamp(status)

    def write(self, login: Login) -> Stamp:
        """Put a login in the place of whatever lies there. Raises ConfigError where the folder takes none."""
        with self._locked():
            return self._put(login)

    def replace(self, login: Login, known: Stamp | None) -> Stamp | None:
        """Put a login in the place of the one known by its stamp; None, and nothing done, where another lies there."""
        with self._locked():
            return self._put(login) if self.stamp() == known else None

    def _opened(self, content: bytes) -> Login:
        nonce, sealed = content[len(_MAGIC) : len(_MAGIC) + _NONCE_BYTES], content[len(_MAGIC) + _NONCE_BYTES :]
        if not content.startswith(_MAGIC) or not sealed or len(content) > MOST_BYTES:
            raise ConfigError("is no login of ours", file=str(self.path))
        try:
            return _login(self._cipher.decrypt(nonce, sealed, self._bound))
        except InvalidTag:
            problem = f"was changed, is another upstream's, or was sealed with another key than {KEY}"
        except (ValueError, KeyError, ValidationError):  # their words would quote what was sealed
            problem = "holds no login that this version reads"
        raise ConfigError(problem, file=str(self.path))

    def _put(self, login: Login) -> Stamp:
        nonce = os.urandom(_NONCE_BYTES)
        content = _MAGIC + nonce + self._cipher.encrypt(nonce, _bytes(login), self._bound)
        beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            _write(beside, content)
            try:
                beside.rename(self.path)
            except OSError:
                beside.unlink()
                raise
            _settle(self._folder)
            return _stamp(self.path.lstat())
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", file=str(self.path)) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time: the gateway renews a login while somebody may be making another."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            _give(self._folder, self._folder.parent)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"cannot be used: {error.strerror}", file=str(self._folder)) from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def token_key(state: Path) -> bytes:
    """The key of a state folder's logins, made where there is none.

    Raises:
        ConfigError: it is broken or open to others, or the folder takes none.
    """
    path = state / KEY
    with suppress(FileExistsError):
        _make_key(path)
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            _refuse_open(path, os.fstat(file.fileno()))
            key = file.read(_KEY_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(path)) from None
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"is no key: {_KEY_BYTES} bytes; without it every login is made anew", file=str(path))
    return key


def _make_key(path: Path) -> None:
    """Make it whole or not at all; FileExistsError where somebody else did."""
    if path.exists():
        return
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(beside, os.urandom(_KEY_BYTES))
        try:
            path.hardlink_to(beside)  # unlike a rename it never takes the place of one that is there
        finally:
            beside.unlink()
        _settle(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=str(path)) from None


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            _give(path, path.parent)
        except OSError:
            path.unlink()
            raise


def _give(path: Path, like: Path) -> None:
    """What root makes belongs to whom the folder belongs to: the gateway that reads it may not be root."""
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _settle(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_open(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise ConfigError(f"open to others (mode {mode:04o}): chmod 600 {path}", file=str(path))


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _bytes(login: Login) -> bytes:
    return orjson.dumps(
        {
            "resource": login.resource,
            "metadata": login.metadata.model_dump(mode="json", exclude_none=True),
            "protected": login.protected and login.protected.model_dump(mode="json", exclude_none=True),
            "client": login.client.model_dump(mode="json", exclude_none=True),
            "tokens": login.tokens.model_dump(mode="json", exclude_none=True),
            "expires_at": login.expires_at,
        }
    )


def _login(content: bytes) -> Login:
    written = orjson.loads(content)
    protected = written["protected"]
    return Login(
        str(written["resource"]),
        OAuthMetadata.model_validate(written["metadata"]),
        protected and ProtectedResourceMetadata.model_validate(protected),
        OAuthClientInformationFull.model_validate(written["client"]),
        OAuthToken.model_validate(written["tokens"]),
        written["expires_at"],
    )
