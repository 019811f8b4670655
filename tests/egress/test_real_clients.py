"""Real programs in a real sandbox without a network: the door is all they have."""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from gateway.executors.egress import doorway
from gateway.executors.egress.contacts import Contact, Verdict
from gateway.executors.egress.destinations import parse_allow
from gateway.executors.egress.door import Bounds, Door
from tests.egress.held import AS_NOBODY, NAME, held, tls_site
from tests.egress.held import certificate as make_certificate
from tests.executors.doors import Names

pytestmark = pytest.mark.slow
HAS_SYSTEM_PYTHON = Path("/usr/bin/python3").exists()
NAMES = Names(site_example=["127.0.0.1"], inside_example=["127.0.0.1"], metadata_example=["169.254.169.254"])


@pytest.fixture
def certificate() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        make_certificate(Path(folder))
        yield Path(folder)


@pytest.fixture
async def port(certificate: Path) -> AsyncIterator[int]:
    async with tls_site(certificate / "site.pem", certificate / "site.key") as number:
        yield number


def door(port: int, *more: str, head_s: float = 10) -> Door:
    allow = (f"{NAME}:{port}", f"127.0.0.1:{port}", *more)
    return Door([parse_allow(text) for text in allow], resolve=NAMES, bounds=Bounds(head_s=head_s))


async def through(way: Door, argv: Sequence[str], chain: Path, first: Sequence[str] = ()) -> tuple[int, str]:
    """Run a program in a held sandbox whose only way out is this door."""
    env = {**way.env, "SSL_CERT_FILE": str(chain), "NODE_EXTRA_CA_CERTS": str(chain), "HOME": "/tmp"}
    async with held(argv, env, first) as sandbox:
        try:
            await way.open(sandbox.pid)
            return await sandbox.go()
        finally:
            await way.close()


def lines(contacts: Sequence[Contact]) -> list[tuple[str, Verdict]]:
    return [(contact.host, contact.verdict) for contact in contacts]


URLLIB = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=20).read().decode())"
HTTPX = "import sys, httpx2 as httpx; print(httpx.get(sys.argv[1], timeout=20).text)"
CLIENTS = {
    "curl": ["curl", "-sS", "--max-time", "20"],
    "urllib": [sys.executable, "-c", URLLIB],
    "httpx": [sys.executable, "-c", HTTPX],
}


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_that_honours_proxies_reaches_what_is_listed(client: str, port: int, certificate: Path) -> None:
    way = door(port)
    code, said = await through(way, [*CLIENTS[client], f"https://{NAME}:{port}/"], certificate / "site.pem")
    assert (code, said.strip()) == (0, "the site")
    [contact] = way.taken()
    assert (contact.host, contact.port, contact.verdict) == (NAME, port, Verdict.ALLOWED)
    assert contact.up > 300
    assert contact.down > 300


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_is_told_what_is_not_listed(client: str, port: int, certificate: Path) -> None:
    way = door(port)
    code, said = await through(way, [*CLIENTS[client], "https://other.example/"], certificate / "site.pem")
    assert code != 0
    assert "403" in said
    assert lines(way.taken()) == [("other.example", Verdict.REFUSED)]


@pytest.mark.parametrize("first", [(), AS_NOBODY], ids=["as whoever runs this", "as nobody"])
async def test_it_works_for_a_tool_of_another_user(first: Sequence[str], port: int, certificate: Path) -> None:
    if first and os.geteuid() != 0:
        pytest.skip("only root starts a tool as another user")
    way = door(port)
    code, said = await through(way, [*CLIENTS["curl"], f"https://{NAME}:{port}/"], certificate / "site.pem", first)
    assert (code, said.strip()) == (0, "the site")


@pytest.mark.parametrize(
    "gateway", [AS_NOBODY, ("setpriv", "--bounding-set=-sys_admin,-sys_ptrace")], ids=["a user", "root in a container"]
)
async def test_whoever_may_not_enter_networks_does_so_by_way_of_the_user_namespace(
    gateway: Sequence[str], certificate: Path
) -> None:
    """The doorway as an unprivileged gateway starts it, with an interpreter that such a user can reach."""
    if os.geteuid() != 0 or not HAS_SYSTEM_PYTHON:
        pytest.skip("root is needed to become another user, and the system's Python")
    program = certificate / "doorway.py"
    shutil.copyfile(doorway.__file__, program)
    talk = "import socket; print(socket.create_connection(('127.0.0.1', 3128), 20).recv(9).decode())"
    async with held(["/usr/bin/python3", "-c", talk], {}, AS_NOBODY) as sandbox:
        with socket.socket(socket.AF_UNIX) as receiver:
            path = certificate / "door"
            receiver.bind(str(path))
            path.chmod(0o666)
            receiver.listen(1)
            argv = [*gateway, "/usr/bin/python3", "-I", "-S", str(program), str(sandbox.pid), str(path)]
            process = await asyncio.create_subprocess_exec(*argv)
            assert await process.wait() == 0
            connection, _ = receiver.accept()
            with connection:
                _, [descriptor], _, _ = socket.recv_fds(connection, 1, 1)
        with socket.socket(fileno=descriptor) as listener:
            listener.settimeout(0)
            going = asyncio.ensure_future(sandbox.go())
            accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
            with accepted:
                accepted.sendall(b"made it")
            assert await going == (0, "made it\n")


ATTEMPTS = """
import errno, socket, sys
def tried(family, kind, where):
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(5)
            s.connect(where)
            if kind == socket.SOCK_DGRAM: s.send(b'x')
            return 'reached'
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
print(tried(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', int(sys.argv[1]))))
print(tried(socket.AF_INET, socket.SOCK_STREAM, ('169.254.169.254', 80)))
print(tried(socket.AF_INET, socket.SOCK_STREAM, ('1.1.1.1', 443)))
print(tried(socket.AF_INET, socket.SOCK_DGRAM, ('1.1.1.1', 53)))
print(tried(socket.AF_INET6, socket.SOCK_STREAM, ('2606:4700:4700::1111', 443)))
print(tried(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', 3128)))
"""


async def test_around_the_door_there_is_no_way(port: int, certificate: Path) -> None:
    way = door(port)
    code, said = await through(way, [sys.executable, "-c", ATTEMPTS, str(port)], certificate / "site.pem")
    assert (code, said.split()) == (0, ["ECONNREFUSED", *["ENETUNREACH"] * 3, said.split()[4], "reached"])
    assert said.split()[4] in {"ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["http://169.254.169.254/latest/meta-data/"], "169.254.169.254:80 is not on the allow-list"),
        (["http://metadata.example/latest/"], "metadata.example has no public address"),
        (["http://127.0.0.1:22/"], "127.0.0.1:22 is not on the allow-list"),
        (["--proxytunnel", "http://127.0.0.1:22/"], "403"),
        (["-x", "socks5h://127.0.0.1:3128", "https://metadata.example/"], "curl: (97)"),
    ],
)
async def test_what_curl_tries(options: list[str], told: str, port: int, certificate: Path) -> None:
    way = door(port, "metadata.example:80", head_s=0.5)
    _, said = await through(way, [*CLIENTS["curl"], *options], certificate / "site.pem")
    assert told in said
    assert Verdict.ALLOWED not in [contact.verdict for contact in way.taken()]


async def test_another_name_in_the_tls_than_in_the_tunnel_is_cut(port: int, certificate: Path) -> None:
    way = door(port)
    options = ["--connect-to", f"front.example:443:{NAME}:{port}", "https://front.example/"]
    code, _ = await through(way, [*CLIENTS["curl"], *options], certificate / "site.pem")
    assert code == 35
    contacts = way.taken()
    assert [(contact.verdict, contact.up) for contact in contacts] == [(Verdict.ALLOWED, 0), (Verdict.REFUSED, 0)]
    assert contacts[1].reason == "its TLS names front.example"


FETCH = (
    "fetch(process.argv[1]).then(a => a.text())"
    ".then(console.log, e => { console.log(String(e.cause)); process.exit(3) })"
)


@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
async def test_the_fetch_of_node_20_does_not_find_the_door(port: int, certificate: Path) -> None:
    way = door(port)
    probe = await asyncio.create_subprocess_exec("node", "-p", "process.version", stdout=asyncio.subprocess.PIPE)
    version, _ = await probe.communicate()
    if not version.startswith((b"v18.", b"v20.")):
        pytest.skip("a later node reads NODE_USE_ENV_PROXY")
    code, _ = await through(way, ["node", "-e", FETCH, f"https://{NAME}:{port}/"], certificate / "site.pem")
    assert (code, way.taken()) == (3, [])


@pytest.mark.skipif(not shutil.which("npm"), reason="no npm here")
async def test_node_with_an_agent_that_reads_the_environment_reaches_what_is_listed(
    port: int, certificate: Path
) -> None:
    install = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts", "undici@6"]
    npm = await asyncio.create_subprocess_exec(*install, cwd=certificate)
    async with asyncio.timeout(120):
        assert await npm.wait() == 0
    agent = f"const u = require('{certificate}/node_modules/undici'); u.setGlobalDispatcher(new u.EnvHttpProxyAgent());"
    way = door(port)
    argv = ["node", "-e", agent + FETCH.replace("fetch(", "u.fetch("), f"https://{NAME}:{port}/"]
    code, said = await through(way, argv, certificate / "site.pem")
    assert (code, "the site" in said) == (0, True), said
    assert lines(way.taken()) == [(NAME, Verdict.ALLOWED)]
