-- +goose Up
-- The weekly digests that were made. The key is what lets each week have one, whoever makes it; what changed since the last is told
-- from its body.
CREATE TABLE digests (
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  week         TEXT NOT NULL CHECK (week <> ''), -- of ISO 8601, in the schedule's time zone: 2026-W49
  due_at       INTEGER NOT NULL, -- unix ms
  made_at      INTEGER NOT NULL CHECK (made_at >= due_at),
  body         TEXT NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (migration_id, week)
) STRICT, WITHOUT ROWID;

-- A digest is a message like the others.
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
INSERT INTO notification_outbox_new (id, channel, event_id, key, kind, event, created_at, tries, next_at, sent_at, given_up_at, error)
  SELECT id, channel, event_id, key, kind, event, created_at, tries, next_at, sent_at, given_up_at, error FROM notification_outbox;
DROP TABLE notification_outbox;
ALTER TABLE notification_outbox_new RENAME TO notification_outbox;
CREATE INDEX notification_outbox_waiting ON notification_outbox (channel, next_at) WHERE sent_at IS NULL AND given_up_at IS NULL;
CREATE INDEX notification_outbox_of_key ON notification_outbox (key, channel);

-- +goose Down
CREATE TABLE notification_outbox_new (
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
INSERT INTO notification_outbox_new (id, channel, event_id, key, kind, event, created_at, tries, next_at, sent_at, given_up_at, error)
  SELECT id, channel, event_id, key, kind, event, created_at, tries, next_at, sent_at, given_up_at, error FROM notification_outbox WHERE kind <> 'digest';
DROP TABLE notification_outbox;
ALTER TABLE notification_outbox_new RENAME TO notification_outbox;
CREATE INDEX notification_outbox_waiting ON notification_outbox (channel, next_at) WHERE sent_at IS NULL AND given_up_at IS NULL;
CREATE INDEX notification_outbox_of_key ON notification_outbox (key, channel);
DROP TABLE digests;
