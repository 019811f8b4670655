"""A sandbox that is held before it runs its program, as the gateway starts one, and a TLS site of its own."""

import asyncio
import datetime as dt
import json
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PATIENCE = 60
AS_NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs")
BWRAP = (
    "bwrap", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-net", "--die-with-parent",
    "--disable-userns", "--new-session", "--cap-drop", "ALL",
)  # fmt: skip
EVERYTHING = ("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev")
SYSTEM = (
    "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",
    "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
)  # fmt: skip
NAME = "site.example"


@dataclass(slots=True)
class Held:
    """A sandbox whose program waits to be let go."""

    pid: int
    process: asyncio.subprocess.Process
    hold: int

    async def go(self) -> tuple[int, str]:
        """Let it run to its end; its exit code and all it printed."""
        os.close(self.hold)
        self.hold = -1
        async with asyncio.timeout(PATIENCE):
            said, _ = await self.process.communicate()
        return self.process.returncode or 0, said.decode(errors="replace")


@asynccontextmanager
async def held(
    argv: Sequence[str], env: Mapping[str, str], first: Sequence[str] = (), binds: Sequence[str] = EVERYTHING
) -> AsyncIterator[Held]:
    """Start bubblewrap up to the point where it would start the program; `first` stands before it."""
    assert shutil.which("bwrap"), "these tests need bubblewrap: apt-get install bubblewrap"
    told, tell = os.pipe()
    wait, hold = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *first, *BWRAP, *binds, "--info-fd", str(tell), "--block-fd", str(wait), "--", *argv,
            env={"PATH": os.environ["PATH"], **env}, pass_fds=(tell, wait),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    finally:
        os.close(tell)
        os.close(wait)
    with os.fdopen(told) as info:  # until it is whole, not until it ends: a tracer keeps the other end open
        started = await asyncio.to_thread(lambda: "".join(iter(info.readline, "}\n")) + "}")
    made = Held(json.loads(started)["child-pid"], process, hold)
    try:
        yield made
    finally:
        if made.hold >= 0:
            os.close(made.hold)
        if process.returncode is None:
            process.kill()
        await process.wait()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the site, which is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.chmod(0o755)
    chain, private = folder / "site.pem", folder / "site.key"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, private


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nthe site\n")
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


@asynccontextmanager
async def tls_site(chain: Path, key: Path) -> AsyncIterator[int]:
    """The site, on a port of loopback; every page of it is the same."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server = await asyncio.start_server(_page, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
