-- +goose Up
-- The app's journals, one for each instance and each disk it had: how far each was read and what of it is in doubt, the orders that are not in order,
-- the counters of those that are, and hashes that recognise them. What a restart goes on from is one transaction, counted by its generation.
CREATE TABLE journal_state (
  id         BIGINT PRIMARY KEY CHECK (id = 1),
  generation BIGINT NOT NULL,
  body       TEXT NOT NULL CHECK (body::json IS NOT NULL)
);
INSERT INTO journal_state (id, generation, body) VALUES (1, 0, '{}');

CREATE TABLE journal_epochs (
  epoch TEXT COLLATE "C" PRIMARY KEY, -- or the instance whose journal was never read
  body  TEXT NOT NULL CHECK (body::json IS NOT NULL)
);
CREATE TRIGGER journal_epochs_no_delete BEFORE DELETE OR TRUNCATE ON journal_epochs EXECUTE FUNCTION refuse_change('the list of the app''s journals is');

CREATE TABLE journal_orders (
  order_id TEXT COLLATE "C" PRIMARY KEY,
  body     TEXT NOT NULL CHECK (body::json IS NOT NULL)
);

CREATE TABLE journal_minutes (
  start BIGINT PRIMARY KEY, -- unix ms, a whole minute
  body  TEXT NOT NULL CHECK (body::json IS NOT NULL)
);

CREATE TABLE journal_known (
  seq   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind  TEXT NOT NULL CHECK (kind IN ('order', 'job')),
  n     BIGINT NOT NULL CHECK (n > 0),
  pairs BYTEA NOT NULL -- a hash and a minute, 8 bytes each
);

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'evidence is not dropped; restore a backup instead'; END $$;
-- +goose StatementEnd
