package password

import (
	"context"
	"fmt"
	"time"

	"github.com/alexedwards/argon2id"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/platform"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// strong is what new hashes are made with.
var strong = argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// slotPatience is how long a client waits for its turn.
const slotPatience = 2 * time.Second

// hasher makes and checks hashes, so many at a time.
type hasher struct {
	params argon2id.Params
	slots  chan struct{}
	dummy  string // a hash of something, for names that do not exist
}

func newHasher(most int, params argon2id.Params) (*hasher, error) {
	dummy, err := argon2id.CreateHash("nobody's", &params)
	if err != nil {
		return nil, fmt.Errorf("hash a password: %w", err)
	}
	return &hasher{params: params, slots: make(chan struct{}, most), dummy: dummy}, nil
}

// take waits for a turn.
func (h *hasher) take(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, slotPatience)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return msgmux.Refuse(pb.ResultCode_ServerBusy, "too many are logging in at the moment: try again later")
	}
}

func (h *hasher) give() { <-h.slots }

func (h *hasher) hash(ctx context.Context, s platform.Secret) (string, error) {
	if err := h.take(ctx); err != nil {
		return "", err
	}
	defer h.give()
	hash, err := argon2id.CreateHash(string(s), &h.params)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return hash, nil
}

// check compares; weak says that the hash was made with other parameters. With
// an empty hash it takes as long and is never right.
func (h *hasher) check(ctx context.Context, s platform.Secret, hash string) (right, weak bool, err error) {
	if err := h.take(ctx); err != nil {
		return false, false, err
	}
	defer h.give()
	exists := hash != ""
	if !exists {
		hash = h.dummy
	}
	same, params, err := argon2id.CheckHash(string(s), hash)
	if err != nil {
		return false, false, fmt.Errorf("a stored hash is damaged: %w", err)
	}
	return same && exists, *params != h.params, nil
}
