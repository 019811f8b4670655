"""npm and uv as programs that we run: what of our environment they see, and their failures in our own words.

Not what is asked of them: that is npm and pypi.
"""

import asyncio
import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError
from gateway.executors.process import NOT_STARTED, TIMED_OUT, Child, Start, start

_SHARED: Final = frozenset({"PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "XDG_CONFIG_HOME", "NETRC"})
_NETWORK: Final = frozenset(
    {
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"),
    }
)
_REGISTRY: Final = re.compile(
    r"(?i:npm_config)_(?:(?i:registry|userconfig|globalconfig|cafile|ca|cert|key|proxy|https_proxy|https-proxy|noproxy"
    r"|strict_ssl|strict-ssl|before|min_release_age)|.*:registry|//.*)|NPM_TOKEN|NODE_AUTH_TOKEN"
    r"|UV_(?:DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|INDEX_STRATEGY|KEYRING_PROVIDER|INSECURE_HOST|NATIVE_TLS"
    r"|SYSTEM_CERTS|HTTP_TIMEOUT|CONFIG_FILE|EXCLUDE_NEWER|PYTHON_INSTALL_DIR)|UV_INDEX_[A-Z0-9_]+_(?:USERNAME|PASSWORD)"
)
"""The settings of registries, and the credentials that are for them."""
_PIP: Final = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_PROXY": "HTTPS_PROXY",
}
"""pip's settings under the names that uv reads, where uv's own are not set."""

_CREDENTIALS = (
    (re.compile(r"(?<=://)[^/\s@]*@"), ""),
    (re.compile(r"(?i)((?:_auth(?:token)?|_password|token|authorization|bearer)[\"']?\s*[=: ]\s*)\S+"), r"\1[removed]"),
    (re.compile(r"(https?://[^\s?#]*)[?#]\S*"), r"\1"),
)
_SHOWN_LINES = 20
_SHOWN_CHARACTERS = 2_000

_UNREACHABLE = (
    "the registry cannot be reached. Look at the network and at the proxy and registry settings in the environment of "
    "Bascule; what is installed already needs no registry"
)
_FAULTS: Final = (
    (r"ENOSPC|No space left on device|os error 28\b", "the disk is full: free some space below the state folder"),
    (r"EINTEGRITY|[Hh]ash mismatch", "what the registry sent is not what it announced: its digest differs"),
    (r"UNABLE_TO_GET_ISSUER|SELF_SIGNED_CERT|UNABLE_TO_VERIFY|invalid peer certificate|CERT_HAS_EXPIRED",
     "the registry's certificate is not trusted: set SSL_CERT_FILE for uv, NODE_EXTRA_CA_CERTS for npm"),
    (r"\bE40[13]\b|HTTP status client error \(40[13]|401 Unauthorized|403 Forbidden",
     "the registry refused: its credentials are missing or wrong"),
    (r"ENOTFOUND|ECONN(?:REFUSED|RESET|ABORTED)|E(?:SOCKET)?TIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET"
     r"|ENOTCACHED|error sending request|dns error|tcp connect error|operation timed out|[Rr]equest failed after"
     r"|HTTP status server error|\bE5\d\d\b", _UNREACHABLE),
)  # fmt: skip
"""What both tools may meet, the surer signs first."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a tool ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All that it printed."""
        return f"{self.err}\n{self.out}"


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """What of our environment npm and uv are given: paths, proxies, certificates, registries; no other secret."""
    env = {name: value for name, value in ours.items() if name in _SHARED or name in _NETWORK}
    env |= {name: value for name, value in ours.items() if _REGISTRY.fullmatch(name)}
    older = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
    for pip, uv in _PIP.items():
        if pip in ours and uv not in env and older.get(uv, uv) not in env:
            env[uv] = ours[pip]
    return env


def build_environment(ours: Mapping[str, str], home: Path) -> dict[str, str]:
    """What foreign code that runs during an installation is given: a home of its own, the network, no registry's
    credentials.
    """
    return {name: value for name, value in ours.items() if name in _NETWORK | {"PATH", "LANG"}} | {"HOME": str(home)}


async def finish(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout_s: float) -> Ended:
    """Run a tool to its end. Whoever stops waiting stops it, and after `timeout_s` it is killed with all it started."""
    starting = asyncio.ensure_future(start(Start(tuple(argv), env, str(cwd))))
    try:
        child = await asyncio.shield(starting)
    except asyncio.CancelledError:  # it may run already, and nobody else knows of it
        await (await starting).stop(0)
        raise
    except OSError as error:
        return Ended(NOT_STARTED, "", f"{argv[0]} cannot be started: {error.strerror}")
    try:
        async with asyncio.timeout(timeout_s):
            return await _output(child)
    except TimeoutError:
        return Ended(TIMED_OUT, "", f"{argv[0]} took longer than {timeout_s:g} s")
    finally:
        await child.stop(0)


async def _output(child: Child) -> Ended:
    child.stdin.close()
    out, err = await asyncio.gather(child.stdout.read(), child.stderr.read())
    return Ended(await child.wait(), out.decode(errors="replace"), err.decode(errors="replace"))


def screened(text: str) -> str:
    """The end of what a tool printed, without the credentials that addresses and settings may hold."""
    for pattern, instead in _CREDENTIALS:
        text = pattern.sub(instead, text)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-_SHOWN_LINES:])[-_SHOWN_CHARACTERS:]


def fault(what: str, ended: Ended, own: Sequence[tuple[str, str]] = ()) -> ConfigError:
    """Why a tool did not do `what`, in our words; what it printed is a note for the operator.

    `own` are a tool's signs and their meanings, looked at after those that are common.
    """
    if ended.code == TIMED_OUT:
        meaning = "it took too long: the registry is slow or the network is"
    elif ended.code == NOT_STARTED:
        meaning = ended.err
    else:
        found = (words for sign, words in (*_FAULTS, *own) if re.search(sign, ended.said))
        meaning = next(found, f"the tool ended with {ended.code}; what it said is below")
    error = ConfigError(f"{what}: {meaning}")
    if (said := screened(ended.said)) and said != meaning:
        error.add_note(said)
    return error


@contextmanager
def disk_faults(what: str) -> Iterator[None]:
    """Our own work on the disk, its failures in words."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise ConfigError(f"{what}: the disk is full: free some space below the state folder") from error
        raise ConfigError(
            f"{what}: {error.strerror or error}: Bascule must own the folder {os.fspath(error.filename or '')!r}"
        ) from error
