-- Budgets. A counter stands in its newest window, which began at the Unix second `start` and is over at `ends` (0: none).
-- `scope` says whose it is, as JSON. `reserved` is the sum of the reservations of that window; both are never below zero.

CREATE TABLE counters (
  budget   TEXT NOT NULL,
  scope    TEXT NOT NULL,
  start    INTEGER NOT NULL,
  ends     INTEGER NOT NULL,
  used     INTEGER NOT NULL CHECK (used >= 0),
  reserved INTEGER NOT NULL CHECK (reserved >= 0),
  PRIMARY KEY (budget, scope)
) STRICT, WITHOUT ROWID;
CREATE INDEX counters_over ON counters (ends) WHERE ends > 0;

-- What runs hold whose ending is not known yet: an ending takes it away. `sent`: used by being sent, whatever comes of it.
CREATE TABLE reservations (
  run    TEXT NOT NULL,
  budget TEXT NOT NULL,
  scope  TEXT NOT NULL,
  start  INTEGER NOT NULL,
  amount INTEGER NOT NULL CHECK (amount >= 0),
  sent   INTEGER NOT NULL CHECK (sent IN (0, 1)),
  PRIMARY KEY (run, budget)
) STRICT, WITHOUT ROWID;
