"""The listener of a sandbox's way out, made inside the sandbox's own network: a program that runs by itself, once.

A socket belongs to the network it was made in, whoever holds it. So this enters the network of process PID, listens
there, hands the socket back over the unix socket at PATH and ends: nothing of ours stays inside.
Run as `python -I -S doorway.py PID PATH`: the standard library only. A process of its own, because only one with a
single thread may enter a user namespace.
"""

import _socket  # not `socket`, whose own imports are half of what starting this takes
import fcntl
import os
import sys

ADDRESS = ("127.0.0.1", 3128)
BACKLOG = 256
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
NS_GET_USERNS = 0xB701
IP_FREEBIND = 15


def hand_over(pid: str, path: str) -> None:
    """Make the listener and send it."""
    receiver = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    receiver.connect(path)
    enter_network(pid)
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    # The sandbox may not have brought its loopback up yet. We must not do that for it: it would find the address taken
    # and end.
    listener.setsockopt(_socket.IPPROTO_IP, IP_FREEBIND, 1)
    listener.bind(ADDRESS)
    listener.listen(BACKLOG)
    descriptor = listener.fileno().to_bytes(4, sys.byteorder)
    receiver.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptor)])


def enter_network(pid: str) -> None:
    """Enter the network of a process: directly, which takes root, or by way of the user namespace that owns it."""
    namespace = f"/proc/{pid}/ns/net"
    try:
        _enter(os.open(namespace, os.O_RDONLY), CLONE_NEWNET)
    except PermissionError:
        if os.geteuid() == 0:
            # Root without the rights of root, as in containers: be whom the sandbox runs as.
            _become(os.stat(f"/proc/{pid}"))
        network = os.open(namespace, os.O_RDONLY)
        _enter(fcntl.ioctl(network, NS_GET_USERNS), CLONE_NEWUSER)
        _enter(network, CLONE_NEWNET)


def _become(owner: os.stat_result) -> None:
    if owner.st_uid != 0:
        os.setgroups([])
        os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
        os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)


def _enter(namespace: int, kind: int) -> None:
    if sys.version_info >= (3, 12):
        os.setns(namespace, kind)
        return
    import ctypes  # noqa: PLC0415 - only where it is needed: it is a third of what starting this takes

    if ctypes.CDLL(None, use_errno=True).setns(namespace, kind):
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


if __name__ == "__main__":
    hand_over(*sys.argv[1:])
