package loginapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// Logins that come while others are being written wait together and are
// written together, by few statements: of what a login costs the database, most
// is not the row.

// statement counts so many logins.
type statement struct {
	logins int
	sql    string
}

// statements are ours, the one for the most logins first.
func statements() (all []statement) {
	for n := 64; n > 0; n /= 2 {
		var rows []string
		for i := range n {
			rows = append(rows, fmt.Sprintf("($%d, 1, $%d, 0)", 2*i+1, 2*i+2))
		}
		all = append(all, statement{n, "INSERT INTO logins (uid, epoch, token, used) VALUES " + strings.Join(rows, ", ") +
			" ON CONFLICT (uid) DO UPDATE SET epoch = logins.epoch + 1, token = excluded.token, used = 0 RETURNING uid, epoch"})
	}
	return all
}

// maxRaising is how many logins wait together; the next begin another write,
// and how many of those may wait the database says.
const maxRaising = 256

// raising is a group of logins, each of another uid.
type raising struct {
	logins  []*login
	members map[string]*login // by uid
	done    chan struct{}     // closed when it is known what became of them
	err     error
}

type login struct {
	uid, token string
	epoch      uint64
}

// Raise begins a new login of uid: a higher epoch, and the ID of the one token
// that may open its session. Tokens of earlier logins are dead from now on. It
// waits for the database, which has bounds of its own, also if ctx is done
// meanwhile. The error wraps sqldb.ErrUnavailable if the database is away.
func (s *Sessions) Raise(ctx context.Context, uid string) (epoch uint64, tokenID string, err error) {
	l := &login{uid: uid, token: rand.Text()}
	r, first := s.join(l)
	if first {
		s.write(context.WithoutCancel(ctx), r)
	}
	<-r.done
	if r.err != nil {
		return 0, "", fmt.Errorf("count the login of %q: %w", uid, r.err)
	}
	return l.epoch, l.token, nil
}

// join adds l to the group that takes logins; first says that it has begun one,
// which is to be written.
func (s *Sessions) join(l *login) (r *raising, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r = s.next; r == nil || len(r.logins) == maxRaising || r.members[l.uid] != nil {
		r, first = &raising{members: map[string]*login{}, done: make(chan struct{})}, true
		s.next = r
	}
	r.logins = append(r.logins, l)
	r.members[l.uid] = l
	return r, first
}

// leave lets nobody join r any more.
func (s *Sessions) leave(r *raising) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == r {
		s.next = nil
	}
}

// write counts all logins of r. Until it is their turn, more may join.
func (s *Sessions) write(ctx context.Context, r *raising) {
	defer close(r.done)
	defer s.leave(r)
	r.err = errors.New("the write panicked") // if it does
	r.err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		s.leave(r)
		rest := r.logins
		for _, st := range s.statements {
			for ; len(rest) >= st.logins; rest = rest[st.logins:] {
				if err := r.count(ctx, tx, st.sql, rest[:st.logins]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// count has a statement count as many logins as it is for.
func (r *raising) count(ctx context.Context, tx sqldb.Tx, sql string, logins []*login) error {
	args := make([]any, 0, 2*len(logins))
	for _, l := range logins {
		args = append(args, l.uid, l.token)
	}
	rows, err := tx.QueryContext(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var uid string
		var epoch uint64
		if err := rows.Scan(&uid, &epoch); err != nil {
			return err
		}
		r.members[uid].epoch = epoch
	}
	return rows.Err()
}
