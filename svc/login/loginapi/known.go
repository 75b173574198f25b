package loginapi

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// Known reports whether a uid has ever logged in: it is true before its first token
// is given, for all who share the database. The error wraps sqldb.ErrUnavailable.
func (s *Sessions) Known(ctx context.Context, uid string) (known bool, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		var one int
		err := tx.QueryRowContext(ctx, "SELECT 1 FROM logins WHERE uid = $1", uid).Scan(&one)
		known = err == nil
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look for login of %q: %w", uid, err)
	}
	return known, nil
}
