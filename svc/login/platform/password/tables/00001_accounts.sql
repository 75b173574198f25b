-- +goose Up
CREATE TABLE password_accounts (
	id      TEXT   NOT NULL PRIMARY KEY, -- the subject: a name may be given away one day
	name    TEXT   NOT NULL UNIQUE,      -- in lower case
	hash    TEXT   NOT NULL,             -- argon2id, with its parameters and salt
	created BIGINT NOT NULL,             -- unix milliseconds, as all times here
	changed BIGINT NOT NULL
);

-- Wrong passwords since the last right one, also for names that nobody has, so
-- that nobody learns from being locked out which there are.
CREATE TABLE password_failures (
	name   TEXT   NOT NULL PRIMARY KEY,
	count  BIGINT NOT NULL,
	last   BIGINT NOT NULL,
	locked BIGINT NOT NULL -- until then
);
CREATE INDEX password_failures_last ON password_failures (last);
