-- +goose Up
-- What was measured over time, in buckets of three widths. A time of which nothing is known has no row. Old rows are deleted.
CREATE TABLE series_buckets (
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  step         BIGINT NOT NULL CHECK (step > 0), -- ms
  start        BIGINT NOT NULL CHECK (start % step = 0), -- unix ms
  name         TEXT NOT NULL,
  count        BIGINT NOT NULL CHECK (count > 0),
  sum          DOUBLE PRECISION NOT NULL,
  least        DOUBLE PRECISION NOT NULL,
  most         DOUBLE PRECISION NOT NULL CHECK (most >= least),
  PRIMARY KEY (migration_id, step, start, name)
);

-- When an alert was open: the open ones are known elsewhere, and gone once they are over.
CREATE TABLE series_alerts (
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  key          TEXT NOT NULL,
  opened_at    BIGINT NOT NULL, -- unix ms
  closed_at    BIGINT NOT NULL DEFAULT 0, -- unix ms; 0: it is open
  severity     TEXT NOT NULL,
  title        TEXT NOT NULL,
  PRIMARY KEY (migration_id, key, opened_at)
);

-- +goose Down
DROP TABLE series_alerts;
DROP TABLE series_buckets;
