package sqldb

import "database/sql"

// Rows reads all rows of a query, one by one, and closes it; it takes what
// QueryContext returns. In the function of Read or Write assign its result, do not
// append to it: that function may run twice.
func Rows[T any](rows *sql.Rows, err error, one func(*sql.Rows) (T, error)) (all []T, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		v, err := one(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}
