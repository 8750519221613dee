-- +goose Up
-- The weekly digests that were made. The key is what lets each week have one, whoever makes it; what changed since the last is told
-- from its body.
CREATE TABLE digests (
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  week         TEXT NOT NULL CHECK (week <> ''), -- of ISO 8601, in the schedule's time zone: 2026-W49
  due_at       BIGINT NOT NULL, -- unix ms
  made_at      BIGINT NOT NULL CHECK (made_at >= due_at),
  body         TEXT NOT NULL CHECK (body::json IS NOT NULL),
  PRIMARY KEY (migration_id, week)
);

-- A digest is a message like the others.
ALTER TABLE notification_outbox DROP CONSTRAINT notification_outbox_kind_check;
ALTER TABLE notification_outbox ADD CONSTRAINT notification_outbox_kind_check CHECK (kind IN ('approval', 'change', 'alert', 'resolve', 'digest'));

-- +goose Down
DELETE FROM notification_outbox WHERE kind = 'digest';
ALTER TABLE notification_outbox DROP CONSTRAINT notification_outbox_kind_check;
ALTER TABLE notification_outbox ADD CONSTRAINT notification_outbox_kind_check CHECK (kind IN ('approval', 'change', 'alert', 'resolve'));
DROP TABLE digests;
