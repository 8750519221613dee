-- +goose Up
-- A replica's connections to Redis, by the name that only they have. What a replica heard stays after it ended, until each
-- of its readers was heard again or is gone.
ALTER TABLE replicas ADD COLUMN client TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE replicas DROP COLUMN client;
