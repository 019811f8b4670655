-- What an operator has slowed, questions or stopped. `until` is a Unix second, 0 for ever; `seconds` only where it slows.

CREATE TABLE brakes (
  subject TEXT PRIMARY KEY,
  level   TEXT NOT NULL CHECK (level IN ('SLOW', 'ASK', 'STOP')),
  seconds INTEGER NOT NULL CHECK (seconds >= 0),
  until   INTEGER NOT NULL,
  reason  TEXT NOT NULL,
  by      TEXT NOT NULL,
  at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
