-- +goose Up
-- A flag set's whole definition (flagd's format) is one revision; a revision is never changed.
CREATE TABLE flag_sets (
  id           TEXT PRIMARY KEY CHECK (id GLOB '[a-z0-9]*'),
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  name         TEXT NOT NULL,
  created_by   TEXT NOT NULL,
  created_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE flag_set_revisions (
  set_id     TEXT NOT NULL REFERENCES flag_sets (id),
  revision   INTEGER NOT NULL CHECK (revision >= 1),
  definition TEXT NOT NULL CHECK (json_valid(definition)),
  actor      TEXT NOT NULL,
  reason     TEXT NOT NULL,
  run_id     TEXT NOT NULL DEFAULT '',
  at         INTEGER NOT NULL,
  PRIMARY KEY (set_id, revision)
) STRICT;
CREATE TRIGGER flag_set_revisions_no_update BEFORE UPDATE ON flag_set_revisions BEGIN SELECT RAISE(ABORT, 'flag revisions are append-only'); END;
CREATE TRIGGER flag_set_revisions_no_delete BEFORE DELETE ON flag_set_revisions BEGIN SELECT RAISE(ABORT, 'flag revisions are append-only'); END;
CREATE TRIGGER flag_set_revisions_in_order BEFORE INSERT ON flag_set_revisions
WHEN NEW.revision <= (SELECT coalesce(max(revision), 0) FROM flag_set_revisions WHERE set_id = NEW.set_id)
BEGIN SELECT RAISE(ABORT, 'flag revisions only go up'); END;

-- What the former table, one row for each value, said at each of its revisions.
INSERT INTO flag_sets (id, migration_id, name, created_by, created_at)
  SELECT id, id, name, created_by, created_at FROM migrations;
INSERT INTO flag_set_revisions (set_id, revision, definition, actor, reason, run_id, at)
  SELECT r.migration_id, r.revision,
    (SELECT json_object('flags', json_group_object(f.key, json_object('state', 'ENABLED', 'variants',
        json_object(CAST(json_extract(f.value, '$') AS TEXT), json(f.value)), 'defaultVariant', CAST(json_extract(f.value, '$') AS TEXT),
        'metadata', json_object('revision', f.revision))))
      FROM flag_revisions f WHERE f.migration_id = r.migration_id
        AND f.id = (SELECT max(g.id) FROM flag_revisions g WHERE g.migration_id = r.migration_id AND g.key = f.key AND g.revision <= r.revision)),
    r.actor, r.reason, r.run_id, r.at
  FROM flag_revisions r WHERE r.id IN (SELECT min(id) FROM flag_revisions GROUP BY migration_id, revision)
  ORDER BY r.migration_id, r.revision;
DROP TABLE flag_revisions;

CREATE TABLE flag_schedules (
  id         TEXT PRIMARY KEY,
  set_id     TEXT NOT NULL REFERENCES flag_sets (id),
  due        INTEGER NOT NULL,
  change     TEXT NOT NULL CHECK (json_valid(change)), -- {"edit":…} or {"move":…}
  state      TEXT NOT NULL CHECK (state IN ('pending', 'done', 'failed', 'cancelled')),
  result     TEXT NOT NULL DEFAULT '',
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX flag_schedules_due ON flag_schedules (due) WHERE state = 'pending';

-- Tokens of programs that read flags. Only the hash is kept.
CREATE TABLE api_keys (
  id              TEXT PRIMARY KEY,
  name            TEXT NOT NULL,
  set_id          TEXT NOT NULL REFERENCES flag_sets (id),
  prefix          TEXT NOT NULL,
  hash            TEXT NOT NULL UNIQUE, -- SHA-256, hexadecimal
  rate_per_second INTEGER NOT NULL CHECK (rate_per_second >= 0),
  created_by      TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  revoked_at      INTEGER
) STRICT;

-- What each Switchyard process has heard from workers lately.
CREATE TABLE replicas (
  id      TEXT PRIMARY KEY,
  at      INTEGER NOT NULL,
  workers TEXT NOT NULL CHECK (json_valid(workers))
) STRICT;

-- +goose Down
SELECT RAISE(ABORT, 'evidence is not dropped; restore a backup instead');
