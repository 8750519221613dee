-- +goose Up
-- The app's journals, one for each instance and each disk it had: how far each was read and what of it is in doubt, the orders that are not in order,
-- the counters of those that are, and hashes that recognise them. What a restart goes on from is one transaction, counted by its generation.
CREATE TABLE journal_state (
  id         INTEGER PRIMARY KEY CHECK (id = 1),
  generation INTEGER NOT NULL,
  body       TEXT NOT NULL CHECK (json_valid(body))
) STRICT;
INSERT INTO journal_state (id, generation, body) VALUES (1, 0, '{}');

CREATE TABLE journal_epochs (
  epoch TEXT PRIMARY KEY, -- or the instance whose journal was never read
  body  TEXT NOT NULL CHECK (json_valid(body))
) STRICT;
CREATE TRIGGER journal_epochs_no_delete BEFORE DELETE ON journal_epochs BEGIN SELECT RAISE(ABORT, 'a journal that there was is not forgotten'); END;

CREATE TABLE journal_orders (
  order_id TEXT PRIMARY KEY,
  body     TEXT NOT NULL CHECK (json_valid(body))
) STRICT;

CREATE TABLE journal_minutes (
  start INTEGER PRIMARY KEY, -- unix ms, a whole minute
  body  TEXT NOT NULL CHECK (json_valid(body))
) STRICT;

CREATE TABLE journal_known (
  seq   INTEGER PRIMARY KEY AUTOINCREMENT,
  kind  TEXT NOT NULL CHECK (kind IN ('order', 'job')),
  n     INTEGER NOT NULL CHECK (n > 0),
  pairs BLOB NOT NULL -- a hash and a minute, 8 bytes each
) STRICT;

-- +goose Down
SELECT RAISE(ABORT, 'evidence is not dropped; restore a backup instead');
