-- +goose Up
-- A flag set's whole definition (flagd's format) is one revision; a revision is never changed.
CREATE TABLE flag_sets (
  id           TEXT COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z0-9]'),
  migration_id TEXT COLLATE "C" NOT NULL REFERENCES migrations (id),
  name         TEXT NOT NULL,
  created_by   TEXT NOT NULL,
  created_at   BIGINT NOT NULL
);
CREATE TRIGGER flag_sets_tell AFTER INSERT OR UPDATE ON flag_sets FOR EACH ROW EXECUTE FUNCTION tell('flags', 'id');

CREATE TABLE flag_set_revisions (
  set_id     TEXT COLLATE "C" NOT NULL REFERENCES flag_sets (id),
  revision   BIGINT NOT NULL CHECK (revision >= 1),
  definition TEXT NOT NULL CHECK (definition::json IS NOT NULL),
  actor      TEXT NOT NULL,
  reason     TEXT NOT NULL,
  run_id     TEXT NOT NULL DEFAULT '',
  at         BIGINT NOT NULL,
  PRIMARY KEY (set_id, revision)
);
CREATE TRIGGER flag_set_revisions_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON flag_set_revisions EXECUTE FUNCTION refuse_change('flag revisions are');
-- +goose StatementBegin
CREATE FUNCTION only_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.revision <= (SELECT coalesce(max(revision), 0) FROM flag_set_revisions WHERE set_id = NEW.set_id) THEN
    RAISE EXCEPTION 'flag revisions only go up';
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER flag_set_revisions_in_order BEFORE INSERT ON flag_set_revisions FOR EACH ROW EXECUTE FUNCTION only_up();
CREATE TRIGGER flag_set_revisions_tell AFTER INSERT ON flag_set_revisions FOR EACH ROW EXECUTE FUNCTION tell('flags', 'set_id');

CREATE TABLE flag_schedules (
  id         TEXT COLLATE "C" PRIMARY KEY,
  set_id     TEXT COLLATE "C" NOT NULL REFERENCES flag_sets (id),
  due        BIGINT NOT NULL,
  change     TEXT NOT NULL CHECK (change::json IS NOT NULL), -- {"edit":…} or {"move":…}
  state      TEXT NOT NULL CHECK (state IN ('pending', 'done', 'failed', 'cancelled')),
  result     TEXT NOT NULL DEFAULT '',
  created_by TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX flag_schedules_due ON flag_schedules (due) WHERE state = 'pending';
CREATE TRIGGER flag_schedules_tell AFTER INSERT OR UPDATE ON flag_schedules FOR EACH ROW EXECUTE FUNCTION tell('schedules');

-- Tokens of programs that read flags. Only the hash is kept.
CREATE TABLE api_keys (
  id              TEXT COLLATE "C" PRIMARY KEY,
  name            TEXT NOT NULL,
  set_id          TEXT COLLATE "C" NOT NULL REFERENCES flag_sets (id),
  prefix          TEXT NOT NULL,
  hash            TEXT NOT NULL UNIQUE, -- SHA-256, hexadecimal
  rate_per_second BIGINT NOT NULL CHECK (rate_per_second >= 0),
  created_by      TEXT NOT NULL,
  created_at      BIGINT NOT NULL,
  revoked_at      BIGINT
);
CREATE TRIGGER api_keys_tell AFTER INSERT OR UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION tell('keys');

-- What each Switchyard process has heard from workers lately.
CREATE TABLE replicas (
  id      TEXT COLLATE "C" PRIMARY KEY,
  at      BIGINT NOT NULL,
  workers TEXT NOT NULL CHECK (workers::json IS NOT NULL)
);

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'evidence is not dropped; restore a backup instead'; END $$;
-- +goose StatementEnd
