-- The ledger of facts. `fields` is a JSON object; `version` counts the writes of the row.

CREATE TABLE facts (
  tenant  TEXT NOT NULL,
  ledger  TEXT NOT NULL,
  key     TEXT NOT NULL,
  fields  TEXT NOT NULL,
  version INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (tenant, ledger, key)
) STRICT, WITHOUT ROWID;

-- Which row a run changes, by which rule of its manifest. `plan` is what it will do, `journal` what it did: NULL while
-- its ending is not known, and the row is in doubt.
CREATE TABLE touches (
  run     TEXT NOT NULL,
  rule    INTEGER NOT NULL,
  tenant  TEXT NOT NULL,
  ledger  TEXT NOT NULL,
  key     TEXT NOT NULL,
  plan    TEXT NOT NULL,
  journal TEXT,
  PRIMARY KEY (run, rule)
) STRICT, WITHOUT ROWID;
CREATE INDEX touches_open ON touches (tenant, ledger, key) WHERE journal IS NULL;
