// Package platform is who vouches for clients. A [Platform] looks at what a
// client shows and says whose account that is; login does the rest.
//
// # Adding one
//
// A package of its own, as demo is, with a function New like those there: it
// adds its flags and returns what opens the platform. Then a line in the list
// of desk/platforms.go, and -platforms switches it on. A Platform says no with
// msgmux.Refuse and a code of the protocol; any other error means that it could
// not find out, and the client is told PlatformFailed. It may take its time: a
// [Guard] bounds how many it checks at once and how long each may take, so that
// nobody waits for it but its own clients.
//
// demo takes anybody at their word, password keeps accounts in the database,
// oidc takes ID tokens of OpenID providers, ask asks a service of the company.
// platform.go has the interface, guard.go the bounds.
package platform

import (
	"context"
	"flag"
	"log/slog"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// MaxSubject is the longest subject of an identity in bytes.
const MaxSubject = 255

// Platform vouches for clients. Any goroutine may call it.
type Platform interface {
	// Verify says whose account c belongs to. An error of msgmux.Refuse is for
	// the client; any other one says that it could not be found out. Neither
	// may have a secret in it.
	Verify(ctx context.Context, c Credential) (Identity, error)
}

// Keeper is a Platform whose accounts live here, so that a client may make and
// change its own. Both let the client in afterwards.
type Keeper interface {
	Platform
	Register(ctx context.Context, c Credential) (Identity, error)
	Change(ctx context.Context, c Credential) (Identity, error)
}

// Immediate is a Platform that never waits, for nothing and nobody: its checks
// need no bounds.
type Immediate interface {
	Platform
	Immediate()
}

// Credential is what a client shows.
type Credential struct {
	Account   string // LoginREQ.uid, as it came: whatever bytes a stranger likes
	Secret    Secret // LoginREQ.credential
	NewSecret Secret // LoginREQ.new_credential, for Change
	Remote    string // address of the client, without a port
	Version   string // of the client
}

// Secret is text that fmt and slog do not show. string(s) does.
type Secret string

// String hides the secret.
func (Secret) String() string { return "(secret)" }

// GoString hides the secret.
func (Secret) GoString() string { return "(secret)" }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue("(secret)") }

// Identity is an account of a platform.
type Identity struct {
	Subject string // names the account for ever, 1 to MaxSubject bytes
	Name    string // uid that the account would like, if it is free; "" leaves it to login
}

// Env is what a platform is opened with.
type Env struct {
	Log *slog.Logger
	DB  *sqldb.DB // with Kind.Tables, once it is there
	// Life is done when the process has drained: what a platform has begun by
	// itself ends then.
	Life context.Context
}

// Open makes the platforms of one kind, by the name that LoginREQ.platform
// has. It is called if the kind is switched on, and does not wait for others.
type Open func(env Env) (map[string]Platform, error)

// Kind is a kind of platform, by the name that -platforms has.
type Kind struct {
	Name   string
	New    func(fs *flag.FlagSet) Open
	Tables func() sqldb.Migrations // that it has in the database; nil: none
}

// Do has p do what action says.
func Do(ctx context.Context, p Platform, action pb.LoginREQ_Action, c Credential) (Identity, error) {
	k, keeps := p.(Keeper)
	switch {
	case action == pb.LoginREQ_LogIn:
		return p.Verify(ctx, c)
	case !keeps:
		return Identity{}, msgmux.Refuse(pb.ResultCode_BadRequest, "accounts of this platform are not made or changed here")
	case action == pb.LoginREQ_Register:
		return k.Register(ctx, c)
	case action == pb.LoginREQ_ChangeCredential:
		return k.Change(ctx, c)
	}
	return Identity{}, msgmux.Refuse(pb.ResultCode_BadRequest, "there is no action %d", action)
}
