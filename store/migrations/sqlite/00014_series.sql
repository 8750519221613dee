-- +goose Up
-- What was measured over time, in buckets of three widths. A time of which nothing is known has no row. Old rows are deleted.
CREATE TABLE series_buckets (
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  step         INTEGER NOT NULL CHECK (step > 0), -- ms
  start        INTEGER NOT NULL CHECK (start % step = 0), -- unix ms
  name         TEXT NOT NULL,
  count        INTEGER NOT NULL CHECK (count > 0),
  sum          REAL NOT NULL,
  least        REAL NOT NULL,
  most         REAL NOT NULL CHECK (most >= least),
  PRIMARY KEY (migration_id, step, start, name)
) STRICT, WITHOUT ROWID;

-- When an alert was open: the open ones are known elsewhere, and gone once they are over.
CREATE TABLE series_alerts (
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  key          TEXT NOT NULL,
  opened_at    INTEGER NOT NULL, -- unix ms
  closed_at    INTEGER NOT NULL DEFAULT 0, -- unix ms; 0: it is open
  severity     TEXT NOT NULL,
  title        TEXT NOT NULL,
  PRIMARY KEY (migration_id, key, opened_at)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE series_alerts;
DROP TABLE series_buckets;
