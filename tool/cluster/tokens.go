package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/davyxu/cellmesh_demo/svc/login/loginapi"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// Tokens makes tokens that games let in, without a login service.
type Tokens struct {
	*loginapi.Signer
	Sessions *loginapi.Sessions
	c        *Cluster
}

// NewTokens publishes a key for tokens and prepares the database.
func (c *Cluster) NewTokens() *Tokens {
	c.T.Helper()
	signer, err := loginapi.NewSigner()
	if err != nil {
		c.T.Fatal(err)
	}
	if err := signer.Publish(context.Background(), c.Registry); err != nil {
		c.T.Fatal(err)
	}
	db, err := sqldb.Open(c.Database, sqldb.Options{}, loginapi.SessionTables())
	if err != nil {
		c.T.Fatal(err)
	}
	c.T.Cleanup(func() { db.Close() })
	if err := db.Prepare(context.Background()); err != nil {
		c.T.Fatal(err)
	}
	return &Tokens{signer, loginapi.NewSessions(db), c}
}

// Grant begins a new login of uid; its token will be good for 5 minutes.
func (t *Tokens) Grant(uid, game string) loginapi.Grant {
	t.c.T.Helper()
	epoch, id, err := t.Sessions.Raise(context.Background(), uid)
	if err != nil {
		t.c.T.Fatal(err)
	}
	return t.grant(uid, game, epoch, id)
}

func (t *Tokens) grant(uid, game string, epoch uint64, id string) loginapi.Grant {
	return loginapi.Grant{UID: uid, Epoch: epoch, ID: id, GameID: game, Expires: time.Now().Add(5 * time.Minute)}
}

// New is the token of a new login of uid.
func (t *Tokens) New(uid, game string) string {
	t.c.T.Helper()
	token, err := t.Sign(t.Grant(uid, game), time.Now())
	if err != nil {
		t.c.T.Fatal(err)
	}
	return token
}

// BlockDatabase keeps the database's only lock for writing until release is
// called.
func (c *Cluster) BlockDatabase() (release func()) {
	c.T.Helper()
	db, err := sqldb.Open(c.Database, sqldb.Options{}, loginapi.SessionTables())
	if err != nil {
		c.T.Fatal(err)
	}
	if err := db.Prepare(context.Background()); err != nil {
		c.T.Fatal(err)
	}
	began, end, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer db.Close()
		db.Write(context.Background(), func(context.Context, sqldb.Tx) error {
			close(began)
			<-end
			return nil
		})
	}()
	select {
	case <-began:
	case <-done:
		c.T.Fatal("the database cannot be blocked")
	}
	release = sync.OnceFunc(func() {
		close(end)
		<-done
	})
	c.T.Cleanup(release)
	return release
}
