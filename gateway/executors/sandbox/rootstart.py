"""How a gateway that is root starts a process as somebody else, with folders that this user could not reach.

A private mount namespace, in it each folder at a place everybody can reach, then another uid for good. Nothing of it
is seen on the host, nothing is left behind, and no owner or mode of any file is changed.
"""

from collections.abc import Sequence
from pathlib import Path

from gateway.errors import Failed
from gateway.executors.sandbox.machine import Host
from gateway.model import Code

_SCRIPT = """set -e
stage=$1 mount=$2 setpriv=$3 env=$4 uid=$5 gid=$6
shift 6
"$mount" -t tmpfs -o mode=0755,nosuid,nodev,size=1m bascule "$stage"
n=0
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir "$stage/$n"; else : > "$stage/$n"; fi
  "$mount" --rbind "$1" "$stage/$n"
  n=$((n+1))
  shift
done
shift
exec "$setpriv" --reuid "$uid" --regid "$gid" --clear-groups --no-new-privs "$env" -i "$@"
"""


def as_identity(host: Host, sources: Sequence[str], uid: int, gid: int) -> tuple[list[str], tuple[str, ...]]:
    """Where the sources are found then, and the words to put before the command.

    Raises:
        Failed: SANDBOX_UNAVAILABLE, there is no folder to put them below.
    """
    stage = next((place for place in host.stages if not any(_meets(place, Path(source)) for source in sources)), None)
    if stage is None:
        raise Failed(
            Code.SANDBOX_UNAVAILABLE,
            "the server cannot be confined as it is configured",
            detail="there is no folder free to reach its folders through; fix: mkdir -p /mnt /media",
        )
    programs = host.programs
    tools = (programs["mount"], programs["setpriv"], programs["env"], str(uid), str(gid))
    unshare = (programs["unshare"], "--mount", "--propagation", "private", "--")
    prefix = (*unshare, programs["sh"], "-c", _SCRIPT, "sh", str(stage), *tools, *sources, "--")
    return [f"{stage}/{place}" for place in range(len(sources))], prefix


def _meets(stage: Path, source: Path) -> bool:
    return stage == source or stage in source.parents or source in stage.parents
