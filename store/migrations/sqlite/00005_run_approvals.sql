-- +goose Up
-- Answers to runs that waited before one of their actions, in order. An answer is never changed.
CREATE TABLE run_approvals (
  run_id    TEXT NOT NULL REFERENCES runs (id),
  seq       INTEGER NOT NULL,
  action_id TEXT NOT NULL,
  approved  INTEGER NOT NULL CHECK (approved IN (0, 1)),
  by_name   TEXT NOT NULL,
  comment   TEXT NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (run_id, seq)
) STRICT;
CREATE TRIGGER run_approvals_no_update BEFORE UPDATE ON run_approvals BEGIN SELECT RAISE(ABORT, 'approvals are append-only'); END;
CREATE TRIGGER run_approvals_no_delete BEFORE DELETE ON run_approvals BEGIN SELECT RAISE(ABORT, 'approvals are append-only'); END;
