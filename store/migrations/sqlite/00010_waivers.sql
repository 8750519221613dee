-- +goose Up
-- What each piece of evidence is about: the servers, builds and settings that it speaks for. Evidence of earlier versions does not say.
ALTER TABLE evidence ADD COLUMN subject TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(subject));

-- Decisions of people to go on although something is unknown. One is taken back, never changed or deleted.
CREATE TABLE waivers (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  migration_id TEXT NOT NULL REFERENCES migrations (id),
  member       TEXT NOT NULL CHECK (member <> ''),
  by_name      TEXT NOT NULL CHECK (by_name <> ''),
  why          TEXT NOT NULL CHECK (why <> ''),
  at           INTEGER NOT NULL,
  until        INTEGER NOT NULL CHECK (until > at),
  revoked_by   TEXT NOT NULL DEFAULT '',
  revoked_at   INTEGER NOT NULL DEFAULT 0,
  CHECK ((revoked_by = '') = (revoked_at = 0))
) STRICT;
CREATE INDEX waivers_of_migration ON waivers (migration_id, id);
CREATE TRIGGER waivers_no_delete BEFORE DELETE ON waivers BEGIN SELECT RAISE(ABORT, 'waivers are not deleted'); END;
CREATE TRIGGER waivers_no_change BEFORE UPDATE ON waivers
WHEN OLD.revoked_at <> 0 OR NEW.member <> OLD.member OR NEW.by_name <> OLD.by_name OR NEW.why <> OLD.why OR NEW.at <> OLD.at OR NEW.until <> OLD.until
BEGIN SELECT RAISE(ABORT, 'waivers are only taken back'); END;

-- +goose Down
DROP TABLE waivers;
ALTER TABLE evidence DROP COLUMN subject;
