-- Proposals that wait for people. A waiting run has no intent: `asked` is the leaf of its request.

ALTER TABLE runs ADD COLUMN asked INTEGER;

-- `doc` is sealed: what exactly is asked. `demands` and times are not secret. `expires` is a Unix second.
CREATE TABLE approvals (
  approval  TEXT PRIMARY KEY,
  run       TEXT NOT NULL,
  tenant    TEXT NOT NULL,
  requester TEXT NOT NULL,
  digest    TEXT NOT NULL,
  upstream  TEXT NOT NULL,
  tool      TEXT NOT NULL,
  demands   TEXT NOT NULL,
  state     TEXT NOT NULL,
  opened    INTEGER NOT NULL,
  expires   INTEGER NOT NULL,
  doc       BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX approvals_standing ON approvals (tenant, requester, digest) WHERE state IN ('waiting', 'granted');
CREATE INDEX approvals_expiring ON approvals (expires);

CREATE TABLE answers (
  approval TEXT NOT NULL,
  approver TEXT NOT NULL,
  verdict  TEXT NOT NULL,
  roles    TEXT NOT NULL,
  signed   INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  PRIMARY KEY (approval, approver)
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_asked ON runs (asked) WHERE asked IS NOT NULL;
CREATE INDEX runs_interrupted ON runs (run) WHERE state = 'intended';
