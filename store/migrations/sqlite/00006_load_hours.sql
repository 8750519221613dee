-- +goose Up
-- What each side's server did and held, hour by hour: the ground of every rate, price and date of the capacity panel. Old hours are deleted.
CREATE TABLE load_hours (
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  side         TEXT NOT NULL CHECK (side IN ('source', 'target')),
  start        INTEGER NOT NULL, -- unix ms, a whole hour
  body         TEXT NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (migration_id, side, start)
) STRICT;

-- +goose Down
DROP TABLE load_hours;
