package oidc

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

//go:embed tables
var files embed.FS

// Tables are the tables in the database.
func Tables() sqldb.Migrations { return sqldb.Embedded("oidc", files) }

// used remembers which ID tokens have logged somebody in, for all logins. It is
// as large as so many real logins as there are within a token's life.
type used struct {
	db    *sqldb.DB
	again time.Duration // for so long after its first login a token may log in again
}

// take uses a token that is good until expires, and reports whether it may still
// log in. It goes by what the token's signature is for: the same may be written,
// and signed, in several ways.
func (u *used) take(ctx context.Context, signed []byte, now, expires time.Time) (ok bool, err error) {
	hash := sha256.Sum256(signed)
	var until int64
	err = u.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM oidc_used WHERE expires < $1", now.UnixMilli()); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `INSERT INTO oidc_used (token, until, expires) VALUES ($1, $2, $3)
			ON CONFLICT (token) DO UPDATE SET token = excluded.token RETURNING until`,
			base64.RawURLEncoding.EncodeToString(hash[:]), now.Add(u.again).UnixMilli(), expires.UnixMilli()).Scan(&until)
	})
	if err != nil {
		return false, fmt.Errorf("remember an ID token: %w", err)
	}
	return now.UnixMilli() <= until, nil
}
