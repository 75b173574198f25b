-- +goose Up
CREATE TABLE identities (
	platform TEXT   NOT NULL,
	subject  TEXT   NOT NULL,
	uid      TEXT   NOT NULL UNIQUE,
	created  BIGINT NOT NULL, -- unix milliseconds
	PRIMARY KEY (platform, subject)
);
