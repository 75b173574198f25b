-- +goose Up
-- ID tokens that have logged somebody in, until they expire.
CREATE TABLE oidc_used (
	token   TEXT   NOT NULL PRIMARY KEY, -- hash of what it says, as signed
	until   BIGINT NOT NULL,             -- unix milliseconds: it may log in again until then
	expires BIGINT NOT NULL              -- unix milliseconds: then nobody takes it, and the row may go
);
CREATE INDEX oidc_used_expires ON oidc_used (expires);
