-- +goose Up
-- What runs have put on servers and have to take off again, written down before it is put there and deleted once it is off.
CREATE TABLE debts (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  run_id       TEXT NOT NULL REFERENCES runs (id), -- the last one that owes it
  kind         TEXT NOT NULL CHECK (kind <> ''),
  server       TEXT NOT NULL CHECK (server <> ''),
  server_run   TEXT NOT NULL,
  what         TEXT NOT NULL,
  before_value TEXT NOT NULL, -- of before the first run that owes it
  set_value    TEXT NOT NULL,
  peers        TEXT NOT NULL CHECK (json_valid(peers)),
  since        INTEGER NOT NULL, -- unix ms
  held         TEXT NOT NULL DEFAULT '', -- why it could not be lifted
  tried_at     INTEGER,
  UNIQUE (migration_id, kind, server, what)
) STRICT;

-- +goose Down
DROP TABLE debts;
