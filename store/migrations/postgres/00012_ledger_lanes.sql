-- +goose Up
-- How far a lane was read outlives its server's being let go: a lane that comes back goes on from there.
ALTER TABLE ledger_cursors ADD COLUMN dropped_at BIGINT NOT NULL DEFAULT 0; -- unix ms; 0: it is followed

-- +goose Down
ALTER TABLE ledger_cursors DROP COLUMN dropped_at;
