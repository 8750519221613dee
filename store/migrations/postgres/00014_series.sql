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

-- +goose Down
DROP TABLE series_buckets;
