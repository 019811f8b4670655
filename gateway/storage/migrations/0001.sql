-- The first shape of the state database. Everything here commits in one transaction with the record it belongs to.

CREATE TABLE leaves (
  idx    INTEGER PRIMARY KEY,
  hash   BLOB NOT NULL CHECK (length(hash) = 32),
  record BLOB NOT NULL
) STRICT;

CREATE TABLE payloads (
  leaf    INTEGER PRIMARY KEY,
  expires INTEGER NOT NULL,
  salt    BLOB NOT NULL CHECK (length(salt) = 32),
  sealed  BLOB NOT NULL
) STRICT;
CREATE INDEX payloads_expires ON payloads (expires);

-- Complete 256-wide hash tiles (C2SP tlog-tiles). `root` is the entry of this tile in the level above.
CREATE TABLE tiles (
  level  INTEGER NOT NULL,
  n      INTEGER NOT NULL,
  root   BLOB NOT NULL CHECK (length(root) = 32),
  hashes BLOB NOT NULL CHECK (length(hashes) = 8192),
  PRIMARY KEY (level, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE heads (
  size INTEGER PRIMARY KEY,
  at   INTEGER NOT NULL,
  note TEXT NOT NULL
) STRICT;

-- `frontier`: the roots of the perfect subtrees, largest first, 32 bytes each.
CREATE TABLE tree (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  size     INTEGER NOT NULL,
  root     BLOB NOT NULL CHECK (length(root) = 32),
  frontier BLOB NOT NULL
) STRICT;
INSERT INTO tree VALUES (1, 0, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', x'');

CREATE TABLE bundles (
  digest  TEXT PRIMARY KEY,
  content BLOB NOT NULL
) STRICT;

-- `intent` and `settled` are leaf indices, `opened` and `ended` the microseconds of those leaves.
CREATE TABLE runs (
  run       TEXT PRIMARY KEY,
  task      TEXT NOT NULL,
  principal TEXT NOT NULL,
  tenant    TEXT NOT NULL,
  upstream  TEXT NOT NULL,
  tool      TEXT NOT NULL,
  state     TEXT NOT NULL,
  ending    TEXT NOT NULL,
  code      TEXT NOT NULL,
  intent    INTEGER,
  settled   INTEGER,
  opened    INTEGER NOT NULL,
  ended     INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_unfinished ON runs (run) WHERE state != 'ended';

CREATE TABLE sessions (
  session TEXT PRIMARY KEY,
  labels  TEXT NOT NULL,
  writes  INTEGER NOT NULL,
  sources TEXT NOT NULL,
  runs    INTEGER NOT NULL,
  seen    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_seen ON sessions (seen);

-- A guard against our own mistakes, not against an attacker: who can write the file can drop these.
CREATE TRIGGER leaves_stay BEFORE DELETE ON leaves BEGIN SELECT RAISE(ABORT, 'leaves are never deleted'); END;
CREATE TRIGGER leaves_same BEFORE UPDATE ON leaves BEGIN SELECT RAISE(ABORT, 'leaves are never changed'); END;
CREATE TRIGGER tiles_stay BEFORE DELETE ON tiles BEGIN SELECT RAISE(ABORT, 'tiles are never deleted'); END;
CREATE TRIGGER tiles_same BEFORE UPDATE ON tiles BEGIN SELECT RAISE(ABORT, 'tiles are never changed'); END;
