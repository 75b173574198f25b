package sqldb

import (
	"context"
	"database/sql"
)

// maxStatements is how many statements are kept prepared. Programs have few;
// one that writes values into its SQL shall not fill our memory.
const maxStatements = 100

// statements keeps what is written again and again prepared: to parse it costs
// more than to do it. It belongs to the one goroutine that writes.
type statements struct {
	db    *sql.DB
	known map[string]*sql.Stmt
	new   []string // met in the transaction of this moment, whose connection is the only one
}

// learn prepares what is new, between two transactions. What cannot be prepared
// is not kept.
func (s *statements) learn(ctx context.Context) {
	for _, query := range s.new {
		if s.known[query] != nil || len(s.known) >= maxStatements {
			continue
		}
		if st, err := s.db.PrepareContext(ctx, query); err == nil {
			s.known[query] = st
		}
	}
	s.new = s.new[:0]
}

// close closes them.
func (s *statements) close() {
	for _, st := range s.known {
		st.Close()
	}
	clear(s.known)
}

// preparedTx is a transaction that uses them.
type preparedTx struct {
	*sql.Tx
	all   *statements
	bound map[string]*sql.Stmt // to this transaction
}

func (s *statements) begun(tx *sql.Tx) *preparedTx {
	return &preparedTx{tx, s, map[string]*sql.Stmt{}}
}

// statement is a prepared statement; nil if it is not one yet.
func (t *preparedTx) statement(ctx context.Context, query string) *sql.Stmt {
	st := t.bound[query]
	if st != nil {
		return st
	}
	known := t.all.known[query]
	if known == nil {
		if len(t.all.new) < maxStatements {
			t.all.new = append(t.all.new, query)
		}
		return nil
	}
	st = t.Tx.StmtContext(ctx, known)
	t.bound[query] = st
	return st
}

// ExecContext is that of sql.Tx.
func (t *preparedTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if st := t.statement(ctx, query); st != nil {
		return st.ExecContext(ctx, args...)
	}
	return t.Tx.ExecContext(ctx, query, args...)
}

// QueryContext is that of sql.Tx.
func (t *preparedTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if st := t.statement(ctx, query); st != nil {
		return st.QueryContext(ctx, args...)
	}
	return t.Tx.QueryContext(ctx, query, args...)
}

// QueryRowContext is that of sql.Tx.
func (t *preparedTx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if st := t.statement(ctx, query); st != nil {
		return st.QueryRowContext(ctx, args...)
	}
	return t.Tx.QueryRowContext(ctx, query, args...)
}
