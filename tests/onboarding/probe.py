"""A look around from the inside, as a program: every file it can read, and what of a host it recognises.

Run by the system's Python with a JSON object as its one argument. It prints what it found, as JSON.
"""

SOURCE = """
import json, os, socket, stat, sys
given = json.loads(sys.argv[1])
# Backwards: or it would find them in its own arguments.
canary = given["canary"][::-1].encode()

def content(path):
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(1 << 20)
    except OSError:
        return None

files, recognised, others = [], [], []
for top in given["tops"]:
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in given["known"]]
        for name in names:
            path = os.path.join(folder, name)
            if path in given["known"] or os.path.islink(path):
                continue
            if not stat.S_ISREG(os.lstat(path).st_mode):
                others.append(path)
            elif (text := content(path)) is not None:
                files.append(path)
                recognised += [path] if canary in text else []

for path in [f"/proc/{pid}/{name}" for pid in os.listdir("/proc") if pid.isdigit() for name in ("environ", "cmdline")]:
    recognised += [path] if canary in (content(path) or b"") else []

def reached(address):
    try:
        with socket.create_connection(tuple(address), 2) as connection:
            connection.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")
            return bool(connection.recv(1 << 16))
    except OSError:
        return False

print(json.dumps({
    "files": sorted(files), "others": sorted(others), "recognised": sorted(recognised),
    "opened": [path for path in given["planted"] if content(path) is not None],
    "passwd": (content("/etc/passwd") or b"").decode(), "hostname": socket.gethostname(),
    "home": os.environ.get("HOME", ""), "uid": os.getuid(), "reached": reached(given["address"]),
}))
"""
