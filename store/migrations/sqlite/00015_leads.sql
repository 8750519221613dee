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

-- The weekly digest is one more kind of message.
CREATE TABLE notification_outbox_new (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  channel      TEXT NOT NULL,
  event_id     TEXT NOT NULL,
  key          TEXT NOT NULL,
  kind         TEXT NOT NULL CHECK (kind IN ('approval', 'change', 'alert', 'resolve', 'digest')),
  event        TEXT NOT NULL CHECK (json_valid(event)),
  created_at   INTEGER NOT NULL, -- unix ms, as below
  tries        INTEGER NOT NULL DEFAULT 0,
  next_at      INTEGER NOT NULL,
  sent_at      INTEGER,
  given_up_at  INTEGER,
  error        TEXT NOT NULL DEFAULT '',
  UNIQUE (channel, event_id)
) STRICT;
INSERT INTO notification_outbox_new SELECT id, channel, event_id, key, kind, event, created_at, tries, next_at, sent_at, given_up_at, error
  FROM notification_outbox;
DROP TABLE notification_outbox;
ALTER TABLE notification_outbox_new RENAME TO notification_outbox;
CREATE INDEX notification_outbox_waiting ON notification_outbox (channel, next_at) WHERE sent_at IS NULL AND given_up_at IS NULL;
CREATE INDEX notification_outbox_of_key ON notification_outbox (key, channel);

-- +goose Down
DROP TABLE report_links;
DROP TABLE alert_history;
ALTER TABLE notification_alerts DROP COLUMN ack_comment;
ALTER TABLE notification_alerts DROP COLUMN acked_at;
ALTER TABLE notification_alerts DROP COLUMN acked_by;
DELETE FROM notification_outbox WHERE kind = 'digest';
