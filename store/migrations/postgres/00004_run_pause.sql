-- +goose Up
-- A run that copies much can be held up, and tells how far it is in figures.
ALTER TABLE runs ADD COLUMN paused_by TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN measure TEXT NOT NULL DEFAULT 'null' CHECK (measure::json IS NOT NULL);
