-- +goose Up
-- What is wrong now, and since when: an alert is told when it begins, when it gets worse, and when it ends.
CREATE TABLE notification_alerts (
  key          TEXT PRIMARY KEY,
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  severity     TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'error', 'critical')), -- the worst since it began
  event        TEXT NOT NULL CHECK (json_valid(event)),
  opened_at    INTEGER NOT NULL -- unix ms
) STRICT;
CREATE INDEX notification_alerts_of_migration ON notification_alerts (migration_id);

-- Messages by channel. One that is neither sent nor given up is sent by whoever leads, again and again; what was sent is kept a while, so
-- that the same event does not come again.
CREATE TABLE notification_outbox (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  channel      TEXT NOT NULL,
  event_id     TEXT NOT NULL,
  key          TEXT NOT NULL,
  kind         TEXT NOT NULL CHECK (kind IN ('approval', 'change', 'alert', 'resolve')),
  event        TEXT NOT NULL CHECK (json_valid(event)),
  created_at   INTEGER NOT NULL, -- unix ms, as below
  tries        INTEGER NOT NULL DEFAULT 0,
  next_at      INTEGER NOT NULL,
  sent_at      INTEGER,
  given_up_at  INTEGER,
  error        TEXT NOT NULL DEFAULT '',
  UNIQUE (channel, event_id)
) STRICT;
CREATE INDEX notification_outbox_waiting ON notification_outbox (channel, next_at) WHERE sent_at IS NULL AND given_up_at IS NULL;
CREATE INDEX notification_outbox_of_key ON notification_outbox (key, channel);

-- How each channel fares.
CREATE TABLE notification_channels (
  name      TEXT PRIMARY KEY,
  sent      INTEGER NOT NULL DEFAULT 0,
  failed    INTEGER NOT NULL DEFAULT 0, -- attempts
  sent_at   INTEGER,
  failed_at INTEGER,
  error     TEXT NOT NULL DEFAULT '' -- of the last attempt that failed
) STRICT;

-- +goose Down
DROP TABLE notification_channels;
DROP TABLE notification_outbox;
DROP TABLE notification_alerts;
