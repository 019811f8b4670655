"""What this machine can enforce, and why not where it cannot. Nouns: host.py looks and fills them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from gateway.errors import Failed
from gateway.model import Code

Line = tuple[str, str, str, str]
"""Name, state (`ok`, `warn`, `fail`), evidence, fix."""


class Cause(StrEnum):
    """Why no sandbox can be made here."""

    MISSING = "bubblewrap is not installed"
    TOOLS = "a program of util-linux is not installed"
    OLD = "bubblewrap is too old: it needs 0.8 or newer"
    CONTAINER = "the seccomp profile of the container this runs in refuses new namespaces"
    SYSCTL = "the kernel lets only root make user namespaces"
    LIMIT = "no more user namespaces may be made: their limit is reached, or is 0"
    APPARMOR = "AppArmor refuses user namespaces to bubblewrap"
    MASKED = "/proc is masked, as containers have it, so no new one may be mounted"
    ROOT = "run as root, the gateway needs CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID to start a server as another user"
    CAPABILITIES = "the gateway is no root and has capabilities all the same, which bubblewrap refuses"
    UNKNOWN = "bubblewrap could not make a sandbox"


FIX: Mapping[Cause, str] = {
    Cause.MISSING: "apt-get install bubblewrap",
    Cause.TOOLS: "apt-get install util-linux mount",
    Cause.OLD: "install bubblewrap 0.8 or newer; Debian 12 has it: apt-get install bubblewrap",
    Cause.CONTAINER: "docker run --security-opt seccomp=deploy/seccomp.json … (docs/sandbox.md, Containers)",
    Cause.SYSCTL: "sysctl -w kernel.unprivileged_userns_clone=1",
    Cause.LIMIT: "sysctl -w user.max_user_namespaces=65536",
    Cause.APPARMOR: (
        "apt-get install apparmor-profiles && install -m 0644 /usr/share/apparmor/extra-profiles/bwrap-userns-restrict "
        "/etc/apparmor.d/ && apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict"
    ),
    Cause.MASKED: "docker run --security-opt systempaths=unconfined … (docs/sandbox.md, Containers)",
    Cause.ROOT: "start the gateway as a user of its own (docs/sandbox.md, Root)",
    Cause.CAPABILITIES: "start the gateway without AmbientCapabilities=, or by setpriv --inh-caps=-all bascule serve",
    Cause.UNKNOWN: "bascule doctor shows what it said; docs/sandbox.md has the known causes",
}
"""The command that mends it."""

_SAID: tuple[tuple[str, Cause], ...] = (
    ("setting up uid map: Permission denied", Cause.APPARMOR),
    ("loopback: Failed RTM_NEWADDR: Operation not permitted", Cause.APPARMOR),
    ("nesting depth or /proc/sys/user/max_", Cause.LIMIT),
    ("No permissions to creat", Cause.CONTAINER),
    ("Creating new namespace failed: Operation not permitted", Cause.CONTAINER),
    ("Can't mount proc on", Cause.MASKED),
    ("unshare: unshare failed: Operation not permitted", Cause.ROOT),
    ("setpriv: setresuid failed", Cause.ROOT),
    ("setpriv: setresgid failed", Cause.ROOT),
    ("setpriv: setgroups failed", Cause.ROOT),
    ("Unexpected capabilities but not setuid", Cause.CAPABILITIES),
    ("Unknown option", Cause.OLD),
)


def cause_of(said: str, *, sysctl: str = "1") -> Cause:
    """The cause that bubblewrap's words stand for; `sysctl` is kernel.unprivileged_userns_clone where there is one."""
    cause = next((cause for words, cause in _SAID if words in said), Cause.UNKNOWN)
    return Cause.SYSCTL if cause is Cause.CONTAINER and sysctl == "0" else cause


@dataclass(frozen=True, slots=True)
class Host:
    """One machine, for one user: the gateway's own."""

    uid: int
    gid: int
    machine: str = "x86_64"
    kernel: str = ""
    programs: Mapping[str, str] = field(default_factory=dict)
    """Absolute paths of what a sandbox is made with, by name; one that is not installed is not there."""
    version: str = ""
    """What bubblewrap says of itself. Distributions mend old versions: what it does is in `fixed`."""
    fixed: bool = False
    """Whether it refuses to make mount points through a symlink (CVE-2026-87766)."""
    cause: Cause | None = None
    """Why no sandbox can be made; None where one was."""
    said: str = ""
    """What bubblewrap printed then."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Those of the system's paths that are symlinks, and what they say: `/bin` is `usr/bin`."""
    ceilings: Mapping[str, int] = field(default_factory=dict)
    """Hard limits of the gateway, by the name prlimit has for them: nothing inside can have more."""
    homes: tuple[Path, ...] = ()
    """Home folders that are never granted whole."""
    stages: tuple[Path, ...] = ()
    """Folders that may be covered, in a mount namespace of its own, to put others below."""
    examined: tuple[Line, ...] = ()
    """What `examine` found, which takes longer than looking."""

    def unavailable(self) -> Failed | None:
        """Why no sandbox can be made, as the end of a call; None where one can."""
        if self.cause is None:
            return None
        said = f"; it said: {self.said.strip()[-300:]}" if self.cause is Cause.UNKNOWN and self.said.strip() else ""
        return Failed(
            Code.SANDBOX_UNAVAILABLE,
            f"the server cannot be confined on this machine: {self.cause}",
            detail=f"{self.cause}{said}; fix: {FIX[self.cause]}",
        )

    def lines(self) -> list[Line]:
        """What `doctor` shows."""
        return [self._bubblewrap(), self._namespaces(), self._behaviour(), self._user(), *self.examined]

    def _bubblewrap(self) -> Line:
        path = self.programs.get("bwrap")
        if path is None:
            return "bubblewrap", "fail", str(Cause.MISSING), FIX[Cause.MISSING]
        try:
            found = Path(path).stat()
        except OSError:
            return "bubblewrap", "fail", f"{path} is gone", FIX[Cause.MISSING]
        evidence = f"{path} {self.version}, owner {found.st_uid}"
        if found.st_mode & 0o4000:
            return "bubblewrap", "warn", f"{evidence}, setuid", f"chmod u-s {path} (user namespaces need no setuid)"
        if found.st_uid not in {0, self.uid} or found.st_mode & 0o022:
            return "bubblewrap", "fail", f"{evidence}: others can change it", f"chown root {path} && chmod 755 {path}"
        return "bubblewrap", "ok", evidence, ""

    def _namespaces(self) -> Line:
        if self.cause is None:
            return "sandbox start", "ok", f"a program ran confined, Linux {self.kernel} {self.machine}", ""
        said = f": {self.said.strip()[-300:]}" if self.said.strip() else ""
        return "sandbox start", "fail", f"{self.cause}{said}", FIX[self.cause]

    def _behaviour(self) -> Line:
        if self.cause is not None:
            return "CVE-2026-87766", "warn", "not tried: no sandbox can be made", ""
        if self.fixed:
            return "CVE-2026-87766", "ok", "mount points through a symlink are refused", ""
        evidence = (
            "mount points follow a planted symlink: none is made below a writable folder, "
            "so a read-only folder inside a writable one is refused"
        )
        return "CVE-2026-87766", "warn", evidence, "install bubblewrap 0.12 or newer where there is one"

    def _user(self) -> Line:
        if self.uid != 0:
            return "executors' user", "ok", f"servers run as uid {self.uid}, the gateway's own", ""
        evidence = "the gateway runs as root; servers never do: run_as, else the owner of the first writable folder"
        return "executors' user", "ok", evidence, ""
