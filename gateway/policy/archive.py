"""The bytes of a bundle: a deterministic archive out, and any OPA bundle tarball in.

Not the meaning of what is inside: that is `bundle`.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from gateway.errors import ConfigError

LARGEST_BYTES = 64 * 1024 * 1024
"""Of all files together; a tarball that unpacks to more is refused."""
LARGEST_COUNT = 10_000


def pack(files: Mapping[str, bytes]) -> bytes:
    """The same files give the same bytes, wherever and whenever: not compressed, since compressors differ."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT, encoding="utf-8") as tar:
        for path in sorted(files):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(files[path]), 0o644
            try:
                tar.addfile(entry, io.BytesIO(files[path]))
            except ValueError as error:
                raise ConfigError("has a path that is too long for a bundle", file=path) from error
    return plain.getvalue()


def unpack(content: bytes, *, file: str = "") -> dict[str, bytes]:
    """The regular files of a tarball by path; whatever could leave its folder or swell is refused."""
    files: dict[str, bytes] = {}
    left = LARGEST_BYTES
    try:
        with tarfile.open(fileobj=io.BytesIO(_plain(content)), mode="r:", encoding="utf-8") as tar:
            for entry in tar:
                if entry.isdir():
                    continue
                path = _path(entry, file)
                left -= entry.size
                if left < 0 or len(files) >= LARGEST_COUNT:
                    raise ConfigError(
                        f"unpacks to more than {LARGEST_BYTES >> 20} MB or {LARGEST_COUNT} files", file=file
                    )
                if path in files:
                    raise ConfigError(f"holds {path} twice", file=file)
                taken = tar.extractfile(entry)
                files[path] = taken.read() if taken else b""
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ConfigError("is not a readable bundle tarball (.tar or .tar.gz)", file=file) from error
    return files


def _plain(content: bytes) -> bytes:
    """Unpacked to its end, because only there stands the checksum; what is cut off is found unreadable."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
        return packed.read(LARGEST_BYTES + LARGEST_COUNT * tarfile.BLOCKSIZE * 4)


def _path(entry: tarfile.TarInfo, file: str) -> str:
    path = PurePosixPath("/", entry.name.lstrip("/"))
    if not entry.isfile() or ".." in path.parts:
        raise ConfigError(f"holds {entry.name!r}, which is no plain file inside it", file=file)
    return str(path.relative_to("/"))
