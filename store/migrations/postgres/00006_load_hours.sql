-- +goose Up
-- What each side's server did and held, hour by hour: the ground of every rate, price and date of the capacity panel. Old hours are deleted.
CREATE TABLE load_hours (
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  side         TEXT NOT NULL CHECK (side IN ('source', 'target')),
  start        BIGINT NOT NULL, -- unix ms, a whole hour
  body         TEXT NOT NULL CHECK (body::json IS NOT NULL),
  PRIMARY KEY (migration_id, side, start)
);

-- +goose Down
DROP TABLE load_hours;
