-- +goose Up
-- What each piece of evidence is about: the servers, builds and settings that it speaks for. Evidence of earlier versions does not say.
ALTER TABLE evidence ADD COLUMN subject TEXT NOT NULL DEFAULT '{}' CHECK (subject::json IS NOT NULL);

-- Decisions of people to go on although something is unknown. One is taken back, never changed or deleted.
CREATE TABLE waivers (
  id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration_id TEXT COLLATE "C" NOT NULL REFERENCES migrations (id),
  member       TEXT COLLATE "C" NOT NULL CHECK (member <> ''),
  by_name      TEXT NOT NULL CHECK (by_name <> ''),
  why          TEXT NOT NULL CHECK (why <> ''),
  at           BIGINT NOT NULL,
  until        BIGINT NOT NULL CHECK (until > at),
  revoked_by   TEXT NOT NULL DEFAULT '',
  revoked_at   BIGINT NOT NULL DEFAULT 0,
  CHECK ((revoked_by = '') = (revoked_at = 0))
);
CREATE INDEX waivers_of_migration ON waivers (migration_id, id);
CREATE TRIGGER waivers_no_delete BEFORE DELETE OR TRUNCATE ON waivers EXECUTE FUNCTION refuse_change('waivers are');
CREATE TRIGGER waivers_no_change BEFORE UPDATE ON waivers FOR EACH ROW
WHEN (OLD.revoked_at <> 0 OR NEW.member <> OLD.member OR NEW.by_name <> OLD.by_name OR NEW.why <> OLD.why OR NEW.at <> OLD.at OR NEW.until <> OLD.until)
EXECUTE FUNCTION refuse_change('waivers are');

-- +goose Down
DROP TABLE waivers;
ALTER TABLE evidence DROP COLUMN subject;
