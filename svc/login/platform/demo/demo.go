// Package demo is the platform that takes anybody at their word: whoever says
// to be alice is alice. It is for developing and for tests of load, and the
// shortest example of a platform.
package demo

import (
	"context"
	"flag"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/platform"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// maxUID is the longest uid in bytes.
const maxUID = 128

// New adds no flags.
func New(*flag.FlagSet) platform.Open {
	return func(platform.Env) (map[string]platform.Platform, error) {
		return map[string]platform.Platform{"demo": Demo{}}, nil
	}
}

// Demo is the platform.
type Demo struct{}

// Verify takes any account of 1 to 128 bytes.
func (Demo) Verify(_ context.Context, c platform.Credential) (platform.Identity, error) {
	if c.Account == "" || len(c.Account) > maxUID {
		return platform.Identity{}, msgmux.Refuse(pb.ResultCode_CredentialInvalid, "a uid has 1 to %d bytes", maxUID)
	}
	return platform.Identity{Subject: c.Account, Name: c.Account}, nil
}

// Immediate says that nobody is asked.
func (Demo) Immediate() {}
