-- +goose Up
-- Answers to runs that waited before one of their actions, in order. An answer is never changed.
CREATE TABLE run_approvals (
  run_id    TEXT COLLATE "C" NOT NULL REFERENCES runs (id),
  seq       BIGINT NOT NULL,
  action_id TEXT COLLATE "C" NOT NULL,
  approved  BOOLEAN NOT NULL,
  by_name   TEXT NOT NULL,
  comment   TEXT NOT NULL,
  at        BIGINT NOT NULL,
  PRIMARY KEY (run_id, seq)
);
CREATE TRIGGER run_approvals_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON run_approvals EXECUTE FUNCTION refuse_change('the list of approvals is');
