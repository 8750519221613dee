-- +goose Up
-- Who has seen an open alert and said so. It stays open until it is well again; one that gets worse counts as not seen.
ALTER TABLE notification_alerts ADD COLUMN acked_by TEXT NOT NULL DEFAULT '';
ALTER TABLE notification_alerts ADD COLUMN acked_at INTEGER NOT NULL DEFAULT 0; -- unix ms; 0: nobody
ALTER TABLE notification_alerts ADD COLUMN ack_comment TEXT NOT NULL DEFAULT '';

-- Alerts that are over, for the report: what happened and how it ended.
CREATE TABLE alert_history (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  key          TEXT NOT NULL,
  severity     TEXT NOT NULL,
  event        TEXT NOT NULL CHECK (json_valid(event)),
  opened_at    INTEGER NOT NULL,
  closed_at    INTEGER NOT NULL,
  acked_by     TEXT NOT NULL DEFAULT '',
  ack_comment  TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX alert_history_of_migration ON alert_history (migration_id, id);

-- Links by which somebody without an account reads the status report until they expire. Only the hash of a link's token is kept.
CREATE TABLE report_links (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  hash         TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
  note         TEXT NOT NULL DEFAULT '',
  created_by   TEXT NOT NULL CHECK (created_by <> ''),
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL CHECK (expires_at > created_at),
  revoked_by   TEXT NOT NULL DEFAULT '',
  revoked_at   INTEGER NOT NULL DEFAULT 0,
  CHECK ((revoked_by = '') = (revoked_at = 0))
) STRICT;
CREATE INDEX report_links_of_migration ON report_links (migration_id, id);

-- +goose Down
DROP TABLE report_links;
DROP TABLE alert_history;
ALTER TABLE notification_alerts DROP COLUMN ack_comment;
ALTER TABLE notification_alerts DROP COLUMN acked_at;
ALTER TABLE notification_alerts DROP COLUMN acked_by;
