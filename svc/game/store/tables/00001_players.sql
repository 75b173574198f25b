-- +goose Up
CREATE TABLE players (
    uid         TEXT   NOT NULL PRIMARY KEY,
    owner_epoch BIGINT NOT NULL, -- of the login that plays
    owner       TEXT   NOT NULL, -- ID of the load that may write
    revision    BIGINT NOT NULL, -- grows by one with each change
    data        TEXT   NOT NULL  -- JSON, see data.go
);
CREATE TABLE player_ledger (
    uid          TEXT   NOT NULL,
    revision     BIGINT NOT NULL, -- that the change made
    request_id   TEXT   NOT NULL,
    what         TEXT   NOT NULL,
    at           BIGINT NOT NULL, -- Unix milliseconds
    name_before  TEXT   NOT NULL,
    name_after   TEXT   NOT NULL,
    level_before BIGINT NOT NULL,
    level_after  BIGINT NOT NULL,
    money_before BIGINT NOT NULL,
    money_after  BIGINT NOT NULL,
    PRIMARY KEY (uid, request_id) -- and no other index: each costs a page for every change
);
