-- +goose Up
CREATE TABLE logins (
    uid   TEXT   NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL, -- of the newest login: grows by one with each
    token TEXT   NOT NULL, -- ID of its token
    used  BIGINT NOT NULL  -- 1: that token has opened its session
);
