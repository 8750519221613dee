-- +goose Up
-- The order ledger: how far each side's events streams were read, the jobs that are open, what was wrong with any job, and a hash of those that took
-- effect. What a restart goes on from is one transaction.
CREATE TABLE ledger_cursors (
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  lane         TEXT NOT NULL,
  body         TEXT NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (migration_id, lane)
) STRICT;

CREATE TABLE ledger_windows (
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  start        INTEGER NOT NULL, -- unix ms, a whole minute
  lane         TEXT NOT NULL,
  state        TEXT NOT NULL CHECK (state IN ('running', 'conclusive', 'inconclusive')),
  body         TEXT NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (migration_id, start, lane)
) STRICT;

CREATE TABLE ledger_lives (
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  queue        TEXT NOT NULL,
  job          TEXT NOT NULL,
  body         TEXT NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (migration_id, queue, job)
) STRICT;

CREATE TABLE ledger_done (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  n            INTEGER NOT NULL CHECK (n > 0),
  hashes       BLOB NOT NULL -- 8 bytes each
) STRICT;

CREATE TABLE ledger_exceptions (
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  queue        TEXT NOT NULL,
  job          TEXT NOT NULL,
  verdict      TEXT NOT NULL,
  at           INTEGER NOT NULL,
  settled_at   INTEGER NOT NULL DEFAULT 0, -- 0: nothing shows that no order came to harm
  body         TEXT NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (migration_id, queue, job, verdict)
) STRICT;
CREATE INDEX ledger_exceptions_open ON ledger_exceptions (migration_id, settled_at, at);
CREATE TRIGGER ledger_exceptions_no_delete BEFORE DELETE ON ledger_exceptions BEGIN SELECT RAISE(ABORT, 'what was wrong with an order is kept'); END;

-- +goose Down
SELECT RAISE(ABORT, 'evidence is not dropped; restore a backup instead');
