-- Idempotency keys. `name` and `call` are digests: of who states which key, and of what exactly is called.
-- `reply` is sealed, NULL until there is one, empty where it is not kept; `leaf` is the ending it belongs to.

CREATE TABLE keys (
  name  TEXT PRIMARY KEY,
  call  TEXT NOT NULL,
  run   TEXT NOT NULL,
  reply BLOB,
  leaf  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_run ON keys (run);
CREATE INDEX keys_leaf ON keys (leaf) WHERE leaf IS NOT NULL;
