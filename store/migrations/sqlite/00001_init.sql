-- +goose Up
-- Times are unix milliseconds UTC. JSON is text. Invariants live here, not in Go: see the unique indexes, checks and triggers.

CREATE TABLE migrations (
  id         TEXT PRIMARY KEY CHECK (id GLOB '[a-z0-9]*'),
  name       TEXT NOT NULL,
  plan       TEXT NOT NULL,
  event_date INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE evidence (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  "check"      TEXT NOT NULL,
  proof        TEXT NOT NULL CHECK (proof IN ('observed', 'attested', 'documented')),
  facts        TEXT NOT NULL CHECK (json_valid(facts)),
  source       TEXT NOT NULL,
  run_id       TEXT NOT NULL,
  observed_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX evidence_latest ON evidence (migration_id, "check", id);
CREATE TRIGGER evidence_no_update BEFORE UPDATE ON evidence BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER evidence_no_delete BEFORE DELETE ON evidence BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;

CREATE TABLE runs (
  id             TEXT PRIMARY KEY,
  migration_id   TEXT NOT NULL REFERENCES migrations (id),
  step           TEXT NOT NULL,
  params         TEXT NOT NULL CHECK (json_valid(params)),
  state          TEXT NOT NULL CHECK (state IN ('awaiting_approval', 'queued', 'running', 'undoing', 'succeeded', 'failed', 'cancelled', 'rejected')),
  rollback       TEXT NOT NULL DEFAULT '',
  rolled_back_by TEXT NOT NULL DEFAULT '',
  plan           TEXT NOT NULL CHECK (json_valid(plan)),
  requested_by   TEXT NOT NULL,
  decided_by     TEXT NOT NULL DEFAULT '',
  comment        TEXT NOT NULL DEFAULT '',
  cancelled_by   TEXT NOT NULL DEFAULT '',
  error          TEXT NOT NULL DEFAULT '',
  progress       TEXT NOT NULL DEFAULT '',
  created_at     INTEGER NOT NULL,
  started_at     INTEGER,
  finished_at    INTEGER,
  CHECK ((finished_at IS NULL) = (state IN ('awaiting_approval', 'queued', 'running', 'undoing')))
) STRICT;
-- Steps of one migration touch the same servers, so only one run may be open at a time.
CREATE UNIQUE INDEX one_open_run ON runs (migration_id) WHERE finished_at IS NULL;
CREATE INDEX runs_of_step ON runs (migration_id, step, created_at);

CREATE TABLE run_actions (
  run_id      TEXT NOT NULL REFERENCES runs (id),
  action_id   TEXT NOT NULL,
  state       TEXT NOT NULL CHECK (state IN ('pending', 'running', 'done', 'failed', 'undone')),
  detail      TEXT NOT NULL DEFAULT '',
  output      TEXT NOT NULL DEFAULT 'null' CHECK (json_valid(output)),
  started_at  INTEGER,
  finished_at INTEGER,
  PRIMARY KEY (run_id, action_id)
) STRICT;

CREATE TABLE run_log (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id  TEXT NOT NULL REFERENCES runs (id),
  at      INTEGER NOT NULL,
  action  TEXT NOT NULL,
  level   TEXT NOT NULL CHECK (level IN ('info', 'warn', 'error')),
  message TEXT NOT NULL
) STRICT;
CREATE INDEX run_log_of_run ON run_log (run_id, seq);

-- The flag set is the latest revision of each key. A revision is never changed.
CREATE TABLE flag_revisions (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  revision     INTEGER NOT NULL,
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  key          TEXT NOT NULL,
  value        TEXT NOT NULL CHECK (json_valid(value)),
  previous     TEXT NOT NULL DEFAULT 'null' CHECK (json_valid(previous)),
  actor        TEXT NOT NULL,
  reason       TEXT NOT NULL,
  run_id       TEXT NOT NULL DEFAULT '',
  at           INTEGER NOT NULL,
  UNIQUE (migration_id, revision, key)
) STRICT;
CREATE TRIGGER flag_revisions_no_update BEFORE UPDATE ON flag_revisions BEGIN SELECT RAISE(ABORT, 'flag revisions are append-only'); END;
CREATE TRIGGER flag_revisions_no_delete BEFORE DELETE ON flag_revisions BEGIN SELECT RAISE(ABORT, 'flag revisions are append-only'); END;

CREATE TABLE users (
  name          TEXT PRIMARY KEY,
  role          TEXT NOT NULL CHECK (role IN ('viewer', 'engineer')),
  password_hash TEXT NOT NULL,
  created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
  token_hash TEXT PRIMARY KEY,
  user_name  TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
  created_at INTEGER NOT NULL,
  seen_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE sign_in_failures (
  subject TEXT NOT NULL,
  at      INTEGER NOT NULL
) STRICT;
CREATE INDEX sign_in_failures_recent ON sign_in_failures (subject, at);

CREATE TABLE audit_log (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  at      INTEGER NOT NULL,
  actor   TEXT NOT NULL,
  action  TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail  TEXT NOT NULL,
  result  TEXT NOT NULL CHECK (result IN ('ok', 'refused', 'succeeded', 'failed', 'cancelled')),
  hash    TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit_log BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_log BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- Small facts that must survive a restart: the managed database's id, the settings of suspended sentinels.
CREATE TABLE settings (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

-- +goose Down
SELECT RAISE(ABORT, 'evidence is not dropped; restore a backup instead');
