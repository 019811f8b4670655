"""What a hostile server tries, as programs that print OPEN where they succeed: sandbox.md's battery, row by row.

Each is run by the system's Python inside a sandbox. `given` holds what the host has set out for it to reach.
"""

PRELUDE = """
import ctypes, errno, fcntl, json, mmap, os, signal, socket, struct, sys, threading, time
given = json.loads(sys.argv[1])
number = given["numbers"]
libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    ctypes.set_errno(0)
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in (number[name], *arguments)]
    answer = libc.syscall(*words)
    return answer, ctypes.get_errno()

def reached(name, *arguments):
    # Refused by the filter (EPERM, ENOSYS) or by the kernel for want of a right; anything else got through.
    answer, code = call(name, *arguments)
    print("closed" if answer == -1 and code in (errno.EPERM, errno.ENOSYS, errno.EACCES) else f"OPEN {answer} {code}")

def tried(action):
    try:
        print(f"OPEN {action()!r}"[:200])
    except OSError as problem:
        print("closed", problem)

def text(path):
    with open(path, "rb") as file:
        return file.read()
"""

FILES = {
    "read a key of the user's": "tried(lambda: text(given['secret']))",
    "read a key through a symlink in the workspace": """
os.symlink(given['secret'], given['rw'] + '/link')
tried(lambda: text(given['rw'] + '/link'))""",
    "read a key through a hard link in the workspace": "tried(lambda: os.link(given['secret'], given['rw'] + '/hard'))",
    "read a key by climbing out of the workspace": """
tried(lambda: text(given['rw'] + '/../' + given['secret'].split('/', 3)[3]))""",
    "read a key through the root of the first process": "tried(lambda: text('/proc/1/root' + given['secret']))",
    "read a key through bubblewrap's old root": "tried(lambda: text('/oldroot' + given['secret']))",
    "read a key through its file handle": """
handle = ctypes.create_string_buffer(struct.pack('=Ii', 128, 0) + bytes(128))
reached('open_by_handle_at', -100, handle, 0)""",
    "list the folder above the workspace": """
names = [n for n in os.listdir(given['rw'] + '/..') if n not in given['siblings']]
print('OPEN ' + repr(names) if names else 'closed')""",
    "write beside the workspace": "tried(lambda: open(given['outside'] + '/new', 'w').close())",
    "write a dot file into the user's home": "tried(lambda: open(given['home'] + '/.profile', 'w').close())",
    "write through a symlink in the workspace": """
os.symlink(given['outside'], given['rw'] + '/out')
tried(lambda: open(given['rw'] + '/out/new', 'w').close())""",
    "change the mode of the user's files": "tried(lambda: os.chmod(given['secret'], 0o777))",
    "change the times of the user's files": "tried(lambda: os.utime(given['secret'], (1, 1)))",
    "set an attribute on the user's files": "tried(lambda: os.setxattr(given['secret'], 'user.x', b'y'))",
    "write into a read-only folder": "tried(lambda: open(given['ro'] + '/new', 'w').close())",
    "change a mode in a read-only folder": "tried(lambda: os.chmod(given['ro'] + '/file', 0o777))",
    "truncate a file of a read-only folder": """
os.close(os.open(given['ro'] + '/file', os.O_RDONLY | os.O_TRUNC))
print('OPEN' if os.path.getsize(given['ro'] + '/file') == 0 else 'closed')""",
    "rename a read-only folder away": "tried(lambda: os.rename(given['ro'], given['rw'] + '/gone'))",
    "mount a read-only folder writable": "reached('mount', b'none', given['ro'].encode(), b'', 0x1020, 0)",
    "write into the runtime": "tried(lambda: open('/usr/lib/new', 'w').close())",
    "write to the root": "tried(lambda: open('/new', 'w').close())",
    "write to /etc": "tried(lambda: open('/etc/new', 'w').close())",
}

PROCESSES = {
    "read secrets in the environment of others": """
found = []
for pid in os.listdir('/proc'):
    if pid.isdigit():
        for name in ('environ', 'cmdline'):
            try:
                found += [pid + name] if given['canary'][::-1].encode() in text(f'/proc/{pid}/{name}') else []
            except OSError:
                pass
print('OPEN ' + repr(found) if found else 'closed')""",
    "read the environment of the first process": "print('OPEN' if text('/proc/1/environ') else 'closed')",
    "see the host's processes": """
seen = [p for p in os.listdir('/proc') if p.isdigit() and given['token'][::-1].encode() in text(f'/proc/{p}/cmdline')]
print('OPEN' if seen or len([p for p in os.listdir('/proc') if p.isdigit()]) > 4 else 'closed')""",
    "trace a process": "reached('ptrace', 16, given['pid'], 0, 0)",
    "read another process's memory": "reached('process_vm_readv', given['pid'], 0, 0, 0, 0, 0)",
    "kill a process of the host": """
try:
    os.kill(given['pid'], signal.SIGTERM)
    print('OPEN')
except ProcessLookupError:
    print('closed')""",
    "take another process's descriptor": "reached('pidfd_getfd', 0, 0, 0)",
    "use a descriptor that was left open": """
here = [fd for fd in os.listdir('/proc/self/fd') if int(fd) > 2]
left = [fd for fd in here if os.path.exists(f'/proc/self/fd/{fd}')]
print('OPEN ' + repr(left) if left else 'closed')""",
    "gain rights by a setuid program": """
status = text('/proc/self/status').decode()
rights = [line for line in status.splitlines() if line.startswith(('CapPrm', 'CapEff', 'CapInh', 'CapAmb', 'CapBnd'))]
none = all(line.split()[1] == '0' * 16 for line in rights)
print('closed' if 'NoNewPrivs:\\t1' in status and none else 'OPEN ' + repr(rights))""",
    "be root": "print('OPEN' if os.getuid() == 0 or os.geteuid() == 0 or 0 in os.getgroups() else 'closed')",
    "type into the gateway's terminal": """
try:
    fd = os.open('/dev/tty', os.O_RDWR)
except OSError:
    fd = 0
answer, code = call('ioctl', fd, 0x5412, ctypes.c_char_p(b'x'))
print('closed' if code == errno.EPERM else f'OPEN {code}')""",
    "type into the gateway's terminal, with high bits": """
answer, code = call('ioctl', 0, 0x1_0000_5412, ctypes.c_char_p(b'x'))
print('closed' if code == errno.EPERM else f'OPEN {code}')""",
    "paste into a console": """
answer, code = call('ioctl', 0, 0x541C, ctypes.c_char_p(b'x'))
print('closed' if code == errno.EPERM else f'OPEN {code}')""",
}

NETWORK = {
    "connect to the host's loopback": "tried(lambda: socket.create_connection(('127.0.0.1', given['tcp']), 2))",
    "connect to the host's loopback by IPv6": "tried(lambda: socket.create_connection(('::1', given['tcp']), 2))",
    "connect to the cloud's metadata": "tried(lambda: socket.create_connection(('169.254.169.254', 80), 2))",
    "connect to the internet": "tried(lambda: socket.create_connection(('192.0.2.1', 443), 2))",
    "send a datagram to the host's loopback": """
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', given['udp']))
print('closed unless the host received it')""",
    "connect to an abstract socket": """
s = socket.socket(socket.AF_UNIX)
tried(lambda: s.connect('\\0' + given['abstract']))""",
    "connect to a socket in the file system": """
s = socket.socket(socket.AF_UNIX)
tried(lambda: s.connect(given['socket']))""",
    "open a socket to the hypervisor": "tried(lambda: socket.socket(40, socket.SOCK_STREAM))",
    "open a netfilter socket": "tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12))",
    "open an audit socket": "tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9))",
    "open a packet socket": "tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))",
    "open a raw socket": "tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))",
    "open a socket of the kernel's crypto": "tried(lambda: socket.socket(38, socket.SOCK_SEQPACKET, 0))",
    "attach the host's shared memory": """
answer, code = call('shmget', given['shm'], 4096, 0)
print('closed' if answer == -1 else 'OPEN')""",
}

KERNEL = {
    "unshare a user namespace": "reached('unshare', 0x10000000)",
    "unshare a time namespace": "reached('unshare', 0x80)",
    "clone into a user namespace": "reached('clone', 0x10000011, 0, 0, 0, 0)",
    "clone3 into a user namespace": """
arguments = ctypes.create_string_buffer(struct.pack('=11Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0))
reached('clone3', arguments, 88)""",
    "enter a namespace": "reached('setns', 0, 0)",
    "read the keyring": "reached('keyctl', 0, -3, 0)",
    "add a key": "reached('add_key', b'user', b'x', b'y', 1, -2)",
    "request a key": "reached('request_key', b'user', b'x', 0, 0)",
    "set up io_uring": "reached('io_uring_setup', 1, ctypes.create_string_buffer(120))",
    "open a performance counter": "reached('perf_event_open', ctypes.create_string_buffer(128), 0, -1, -1, 0)",
    "handle page faults": "reached('userfaultfd', 1)",
    "load a program into the kernel": "reached('bpf', 0, ctypes.create_string_buffer(128), 128)",
    "mount": "reached('mount', b'none', b'/tmp', b'tmpfs', 0, 0)",
    "mount by the new calls": "reached('fsopen', b'tmpfs', 0)",
    "clone a mount": "reached('open_tree', -100, b'/', 1)",
    "unmount": "reached('umount2', b'/proc/sys', 2)",
    "change the root": "reached('chroot', b'/tmp')",
    "pivot the root": "reached('pivot_root', b'/tmp', b'/tmp')",
    "load a module": "reached('init_module', 0, 0, b'')",
    "load a module from a file": "reached('finit_module', 0, b'', 0)",
    "load another kernel": "reached('kexec_load', 0, 0, 0, 0)",
    "reboot": "reached('reboot', 0, 0, 0, 0)",
    "set the clock": "reached('clock_settime', 0, struct.pack('=qq', 1, 0))",
    "set the host's name": "reached('sethostname', b'x', 1)",
    "read the kernel's log": "reached('syslog', 3, ctypes.create_string_buffer(64), 64)",
    "make a device": "tried(lambda: os.mknod(given['rw'] + '/dev', 0o20666, os.makedev(1, 1)))",
    "open the memory device": "tried(lambda: os.open('/dev/mem', os.O_RDONLY))",
    "open the kernel's log device": "tried(lambda: os.open('/dev/kmsg', os.O_RDONLY))",
    "open a disk": "print('OPEN' if [n for n in os.listdir('/dev') if n[:2] in ('sd', 'vd', 'nv')] else 'closed')",
    "set what runs when a program crashes": "tried(lambda: os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY))",
    "set how memory is promised": "tried(lambda: os.open('/proc/sys/vm/overcommit_memory', os.O_WRONLY))",
    "press a system request key": "tried(lambda: os.open('/proc/sysrq-trigger', os.O_WRONLY))",
    "read the kernel's memory": "tried(lambda: os.open('/proc/kcore', os.O_RDONLY))",
    "look into /sys": "print('OPEN' if os.path.exists('/sys/kernel') else 'closed')",
    "call the kernel as x32": """
libc.syscall.restype = ctypes.c_long
answer = libc.syscall(ctypes.c_long(0x40000000 + number['getpid']))
print('OPEN' if answer != -1 else 'closed')""",
    "call the kernel as 32 bits": """
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex('b814000000cd80c3'))
print('OPEN', ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())""",
    "call what is newer than the filter": "reached('futex_requeue_and_more')",
}

ATTACKS = FILES | PROCESSES | NETWORK | KERNEL

FORKS = """
made = 0
for _ in range(300):
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    made += 1
print('OPEN' if made >= 300 else f'closed {made}')
"""
THREADS = """
made = 0
for _ in range(300):
    try:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    except RuntimeError:
        break
    made += 1
print('OPEN' if made >= 300 else f'closed {made}', flush=True)
os._exit(0)
"""

_FILL = """
size = 0
def fill(folder, each, most):
    global size
    block = b'x' * (1 << 20)
    try:
        for place in range(most):
            with open(f'{folder}/fill{place}', 'wb') as file:
                for _ in range(each):
                    file.write(block)
                    size += 1
    except OSError as problem:
        print('closed', problem)
        return
    print(f'OPEN {size} MB', flush=True)
    time.sleep(20)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
"""

GREED = {
    "memory of one process": """
held = []
for _ in range(400):
    held.append(b'x' * (1 << 20))
    time.sleep(0.002)
print('OPEN', flush=True); time.sleep(20)""",
    "shared memory": """
page = mmap.mmap(-1, 400 << 20)
for place in range(400):
    page[place << 20:(place + 1) << 20] = b'x' * (1 << 20)
    time.sleep(0.002)
print('OPEN', flush=True); time.sleep(20)""",
    "memory of ten processes": """
for _ in range(10):
    if os.fork() == 0:
        held = [b'x' * (1 << 20) for _ in range(40)]
        time.sleep(20)
        os._exit(0)
time.sleep(5)
print('OPEN', flush=True)""",
    "memory of files without a name": """
answer, code = call('memfd_create', b'x', 0)
print('OPEN' if answer >= 0 else 'closed')""",
    "memory of detached segments": """
answer, code = call('shmget', 0, 1 << 20, 0o1600)
print('OPEN' if answer >= 0 else 'closed')""",
    "disk through /tmp": _FILL + "fill('/tmp', 4, 100)",
    "disk through its home": _FILL + "fill(os.environ['HOME'], 4, 100)",
    "disk through /dev": _FILL + "fill('/dev', 4, 100)",
    "disk through /dev/shm": _FILL + "fill('/dev/shm', 4, 100)",
    "disk through one file": _FILL + "fill(os.environ['HOME'], 400, 1)",
    "disk through one file in a folder": _FILL + "fill(given['rw'], 400, 1)",
}

DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv('/usr/bin/sleep', ['sleep', given['token']])
    os._exit(0)
"""

LIVE = (
    *("read a key of the user's", "read a key through a symlink in the workspace", "write beside the workspace"),
    *("write a dot file into the user's home", "write through a symlink in the workspace"),
    *("change the mode of the user's files", "change the times of the user's files", "write into a read-only folder"),
    *("truncate a file of a read-only folder", "read secrets in the environment of others"),
    *("see the host's processes", "kill a process of the host", "gain rights by a setuid program"),
    *("connect to the host's loopback", "connect to an abstract socket", "connect to a socket in the file system"),
    *("open a netfilter socket", "unshare a user namespace", "clone3 into a user namespace", "look into /sys"),
)
"""Those that succeed on any machine without a sandbox: proof that the attacks would be seen to."""
