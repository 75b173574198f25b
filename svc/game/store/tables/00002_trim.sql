-- +goose Up
-- When the next pass over the ledger may begin, whichever game makes it.
CREATE TABLE player_trim (
    next BIGINT NOT NULL -- Unix milliseconds
);
INSERT INTO player_trim (next) VALUES (0);
