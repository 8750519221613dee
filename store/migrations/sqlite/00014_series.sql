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

-- +goose Down
DROP TABLE series_buckets;
