-- +goose Up
-- The order ledger: how far each side's events streams were read, the jobs that are open, what was wrong with any job, and a hash of those that took
-- effect. What a restart goes on from is one transaction.
CREATE TABLE ledger_cursors (
  migration_id TEXT COLLATE "C" NOT NULL REFERENCES migrations (id),
  lane         TEXT COLLATE "C" NOT NULL,
  body         TEXT NOT NULL CHECK (body::json IS NOT NULL),
  PRIMARY KEY (migration_id, lane)
);

CREATE TABLE ledger_windows (
  migration_id TEXT COLLATE "C" NOT NULL REFERENCES migrations (id),
  start        BIGINT NOT NULL, -- unix ms, a whole minute
  lane         TEXT COLLATE "C" NOT NULL,
  state        TEXT NOT NULL CHECK (state IN ('running', 'conclusive', 'inconclusive')),
  body         TEXT NOT NULL CHECK (body::json IS NOT NULL),
  PRIMARY KEY (migration_id, start, lane)
);

CREATE TABLE ledger_lives (
  migration_id TEXT COLLATE "C" NOT NULL REFERENCES migrations (id),
  queue        TEXT COLLATE "C" NOT NULL,
  job          TEXT COLLATE "C" NOT NULL,
  body         TEXT NOT NULL CHECK (body::json IS NOT NULL),
  PRIMARY KEY (migration_id, queue, job)
);

CREATE TABLE ledger_done (
  seq          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration_id TEXT COLLATE "C" NOT NULL REFERENCES migrations (id),
  n            BIGINT NOT NULL CHECK (n > 0),
  hashes       BYTEA NOT NULL -- 8 bytes each
);

CREATE TABLE ledger_exceptions (
  migration_id TEXT COLLATE "C" NOT NULL REFERENCES migrations (id),
  queue        TEXT COLLATE "C" NOT NULL,
  job          TEXT COLLATE "C" NOT NULL,
  verdict      TEXT COLLATE "C" NOT NULL,
  at           BIGINT NOT NULL,
  settled_at   BIGINT NOT NULL DEFAULT 0, -- 0: nothing shows that no order came to harm
  body         TEXT NOT NULL CHECK (body::json IS NOT NULL),
  PRIMARY KEY (migration_id, queue, job, verdict)
);
CREATE INDEX ledger_exceptions_open ON ledger_exceptions (migration_id, settled_at, at);
CREATE TRIGGER ledger_exceptions_no_delete BEFORE DELETE OR TRUNCATE ON ledger_exceptions EXECUTE FUNCTION refuse_change('the list of the ledger''s exceptions is');

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'evidence is not dropped; restore a backup instead'; END $$;
-- +goose StatementEnd
