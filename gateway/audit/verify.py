"""Checks a stored log against its public key: every leaf, tile, head and row, and names where a change is.

Not a repair, and no trust in the process that wrote the log: hashes are taken of the stored bytes alone.
The signed head is the judge: where records and stored hashes disagree, the side that makes its root is right.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.audit import merkle, note
from gateway.audit.contents import Contents
from gateway.audit.tiles import WIDTH, Tree
from gateway.errors import Unreadable
from gateway.model import JsonObject
from gateway.storage.database import Reader, Tile, TreeRow

UNKNOWN = bytes(32)
MOST = 100
"""Findings of one kind that are listed; however many more there are is one finding."""
MANY = 1000
"""Leaves outside the log that are asked for."""
SPARE = 65_536
"""Missing leaves that are walked over in any log, beside as many as are there."""
Row = tuple[int, bytes, bytes]


@dataclass(frozen=True, slots=True)
class Finding:
    """`where` names the leaf, tile, head, run, payload or bundle; `what` is wrong with it."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """What verification found. `signed` leaves stand under a head whose signature and root hold."""

    size: int
    signed: int
    root: str
    findings: tuple[Finding, ...]
    counts: Mapping[str, int]

    @property
    def intact(self) -> bool:
        return not self.findings

    def told(self) -> JsonObject:
        """As JSON."""
        findings = [{"where": finding.where, "what": finding.what} for finding in self.findings]
        return {"intact": self.intact, "size": self.size, "signed": self.signed, "root": self.root,
                "findings": findings, "checked": dict(self.counts)}  # fmt: skip


def verify(
    reader: Reader,
    vkey: str,
    *,
    outside_head: str | None = None,
    sealing: bytes | None = None,
    bundle_digest: Callable[[bytes], str] | None = None,
    now: int | None = None,
    rows: bool = True,
) -> Report:
    """Check everything there is, at one moment. The reader is the caller's own, used by nobody else meanwhile.

    `outside_head` is a head kept elsewhere: only it can show that a log was cut. `sealing` opens the payloads;
    without it they are only counted. `bundle_digest` says what the content of a bundle is called; without it
    only their presence is checked. `now` (Unix seconds) tells a payload that was erased in its time from one
    that was taken away. Without `rows` only leaves, tree, tiles and heads are checked: three times as fast.

    Raises:
        BadNote: `vkey` is not a public key.
    """
    known = note.verifier(vkey)
    checking = _Checking(reader, known)
    contents = Contents(reader, sealing=sealing, digest=bundle_digest, now=now) if rows else None
    try:
        with reader.snapshot():
            checking.extent()
            checking.heads(outside_head)
            checking.walk(contents)
            checking.conclude()
            if contents is not None:
                contents.conclude()
    except Exception as error:  # noqa: BLE001 - whoever can write the file can store anything anywhere
        checking.found("database", f"the file is damaged, nothing beyond was checked: {error!r}")
    counts = {"leaves": checking.tree.size, **checking.counts}
    if contents is not None:
        checking.findings += (Finding(*pair) for pair in contents.findings)
        counts |= contents.counts
    return Report(checking.count, checking.signed, checking.tree.root.hex(), tuple(checking.findings), counts)


@dataclass(slots=True)
class _Checking:
    """One verification under way. `tree` is made of the records, `stored` of the hashes kept beside them."""

    reader: Reader
    known: note.Verifier
    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"tiles": 0, "heads": 0})
    count: int = 0
    signed: int = 0
    tree: Tree = field(default_factory=Tree)
    stored: Tree = field(init=False)
    said: list[tuple[str, note.Checkpoint]] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    by_tile: list[int] = field(default_factory=list)
    """Leaves whose record is not what their tile says."""
    by_column: list[int] = field(default_factory=list)
    """Leaves whose record is not what the hash beside it says, where no tile speaks."""
    tiles: dict[tuple[int, int], tuple[Tile, Tile]] = field(default_factory=dict)
    """What differs from the stored tile: the one the records make, the one the stored hashes make."""
    seen: set[tuple[int, int]] = field(default_factory=set)
    records_hold: bool = True

    def __post_init__(self) -> None:
        self.stored = self.tree  # one object, and one computation, for as long as both sides agree

    def found(self, where: str, what: str) -> None:
        self.findings.append(Finding(where, what))

    def extent(self) -> None:
        """How many leaves to walk: no index that somebody made up may decide how long this takes."""
        self.reader.shape()
        if damage := self.reader.damage():
            self.found("database", f"the file is damaged: {damage}")
        number, count = self.reader.rows(), self.reader.count()
        limit = 2 * number + SPARE
        self.count = max(0, count if count <= limit else self.reader.count(below=limit))
        self._each(self.reader.outside(self.count, MANY), f"its index is none of a log of {self.count}")

    def _each(self, indices: Sequence[int], what: str) -> None:
        for place, (first, end) in enumerate(_ranges(indices)):
            if place == MOST:
                self.found("leaves", f"and more from leaf {first} on: {what}")
                return
            self.found(f"leaf {first}" if first == end else f"leaves {first} to {end}", what)

    def heads(self, outside: str | None) -> None:
        """Check every signature; what the good ones say is compared on the way."""
        heads = self.reader.heads()
        if not heads:
            self.found("head", "none is stored")
        for head in heads:
            self._head(f"head {head.size}", head.note, head.size)
        if outside is not None:
            self._head("outside head", outside)

    def _head(self, where: str, text: str, size: int | None = None) -> None:
        self.counts["heads"] += 1
        try:
            said = note.open_checkpoint(text, self.known)
        except note.BadNote as error:
            self.found(where, str(error))
            return
        if size not in (said.size, None):
            self.found(where, f"its note is of size {said.size}")
        elif said.size > self.count:
            self.found(where, f"signed {said.size} leaves, {self.count} are stored: the log was cut or restored")
        else:
            self.said.append((where, said))

    def walk(self, contents: Contents | None) -> None:
        """One pass over the leaves, a tile at a time."""
        self.said.sort(key=lambda pair: pair[1].size)
        pending = iter(self.said)
        if contents is not None:
            contents.begin(self.count)
        following = next(pending, None)
        for first in range(0, max(self.count, 1), WIDTH):
            end = min(first + WIDTH, self.count)
            rows = list(self.reader.leaves(first, end))
            if contents is not None:
                contents.block(first, end, rows)
            tile = self.reader.tile(0, first // WIDTH) if end - first == WIDTH else None
            records, kept = self._hashes(first, end, rows, tile)
            at = first
            while following is not None and following[1].size <= end:
                cut = following[1].size
                self._extend(records[at - first : cut - first], kept[at - first : cut - first])
                at = cut
                self._compare(*following)
                following = next(pending, None)
            self._extend(records[at - first :], kept[at - first :])

    def _hashes(self, first: int, end: int, rows: Sequence[Row], tile: Tile | None) -> tuple[list[bytes], list[bytes]]:
        """Hashes of the records, and those stored; the tile is asked before the column. HOT"""
        records = [merkle.leaf_hash(row[2]) for row in rows]
        column = [row[1] for row in rows]
        if len(rows) == end - first and records == column and (tile is None or tile.hashes == b"".join(records)):
            return records, records
        kept = [tile.hashes[at : at + 32] for at in range(0, 8192, 32)] if tile else []
        there = {row[0]: (hashed, row[1]) for row, hashed in zip(rows, records, strict=True)}
        made: list[bytes] = []
        for place in range(end - first):
            hashed, beside = there.get(first + place, (UNKNOWN, UNKNOWN))
            if not tile:
                kept.append(beside)
            if hashed is UNKNOWN:
                self.missing.append(first + place)
                hashed = kept[place]
            elif hashed != kept[place]:
                (self.by_tile if tile else self.by_column).append(first + place)
            elif hashed != beside:
                self.found(f"leaf {first + place}", "the hash beside it was changed")
            made.append(hashed)
        return made, kept

    def _extend(self, records: Sequence[bytes], kept: Sequence[bytes]) -> None:
        same = self.tree is self.stored and records == kept
        tree, made = self.tree.extended(records)
        if same:
            self.tree = self.stored = tree
            expected = made
        else:
            self.stored, expected = self.stored.extended(kept)
            self.tree = tree
        for one, other in zip(made, expected, strict=True):
            place = (one.level, one.n)
            self.seen.add(place)
            self.counts["tiles"] += 1
            stored = self.reader.tile(*place)
            if stored is None:
                self.found(f"tile {one.level}/{one.n}", "is missing")
            elif stored != one or stored != other:
                self.tiles[place] = (one, other)

    def _compare(self, where: str, said: note.Checkpoint) -> None:
        by_records, by_hashes = self.tree.root == said.root, self.stored.root == said.root
        self.records_hold &= by_records
        if by_records or by_hashes:
            self.signed = max(self.signed, said.size)
        else:
            self.found(where, f"its root is not that of the first {said.size} leaves")

    def conclude(self) -> None:
        """Say which side was changed, now that every head has spoken."""
        records_right = self.records_hold and bool(self.said)
        changed = [] if records_right else self.by_tile + self.by_column
        self._each(self.missing, "is missing")
        self._each(self.by_column if records_right else (), "the hash beside it was changed")
        self._each(changed, "the record was changed, moved or exchanged")
        for (level, n), (made, kept) in self.tiles.items():
            self._tile(level, n, made if records_right else kept)
        for level, n in self.reader.tiles():
            if (level, n) not in self.seen:
                self.found(f"tile {level}/{n}", "no leaves make it")
        try:
            row = self.reader.tree()
        except Unreadable as error:
            self.found("tree", str(error))
            return
        if row.size != self.count:
            self.found("tree", f"says {row.size} leaves, {self.count} are stored")
        elif row not in (self.tree.row, self.stored.row):
            self._frontier(row)

    def _frontier(self, row: TreeRow) -> None:
        """Where no tile can tell which leaf it was, the kept roots of the perfect subtrees narrow it down."""
        kept = [row.frontier[at : at + 32] for at in range(0, len(row.frontier), 32)]
        signed = any(said.size == row.size and said.root == row.root for _, said in self.said)
        if not signed or len(kept) != len(self.tree.frontier) or merkle.fold(kept) != row.root:
            self.found("tree", "its root or frontier is not that of the stored leaves")
            return
        first = 0
        for right, found in zip(kept, self.tree.frontier, strict=True):
            end = first + (1 << (row.size - first).bit_length() - 1)
            if right != found and not any(first <= index < end for index in self.by_column):
                self.found(f"leaves {first} to {end - 1}", "one or more were changed together with their stored hashes")
            first = end

    def _tile(self, level: int, n: int, right: Tile) -> None:
        stored = self.reader.tile(level, n)
        if stored is None or stored == right:
            return
        where = f"tile {level}/{n}"
        wrong = [
            at for at in range(WIDTH) if stored.hashes[at * 32 : at * 32 + 32] != right.hashes[at * 32 : at * 32 + 32]
        ]
        if wrong:
            self.found(where, f"entry {wrong[0]} was changed" + (f", and {len(wrong) - 1} more" if wrong[1:] else ""))
        else:
            self.found(where, "its root is not that of its hashes")


def _ranges(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Runs of neighbours, first and last of each."""
    start = previous = None
    for index in indices:
        if previous is not None and index == previous + 1:
            previous = index
            continue
        if start is not None and previous is not None:
            yield start, previous
        start = previous = index
    if start is not None and previous is not None:
        yield start, previous
