-- +goose Up
CREATE TABLE chat_lines ( -- what was said lately
    room    TEXT   NOT NULL, -- '': to everybody
    id      BIGINT NOT NULL,
    sender  TEXT   NOT NULL, -- uid
    name    TEXT   NOT NULL, -- of the sender, then
    unix_ms BIGINT NOT NULL,
    text    TEXT   NOT NULL,
    PRIMARY KEY (room, id)
);
CREATE TABLE chat_topics (
    room    TEXT   NOT NULL PRIMARY KEY,
    topic   TEXT   NOT NULL,
    unix_ms BIGINT NOT NULL -- when it was set
);
CREATE TABLE chat_people ( -- who was ever here
    uid  TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL -- when last here
);
CREATE TABLE chat_inbox ( -- private lines that wait for a login
    uid     TEXT   NOT NULL, -- of the receiver
    id      BIGINT NOT NULL,
    sender  TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    unix_ms BIGINT NOT NULL,
    text    TEXT   NOT NULL,
    claim   TEXT   NOT NULL DEFAULT '', -- of whoever is handing it over
    until   BIGINT NOT NULL DEFAULT 0,  -- Unix milliseconds: the claim counts no longer
    PRIMARY KEY (uid, id)
);
