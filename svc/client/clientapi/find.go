package clientapi

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// FoundLogin is the address of a login, any of those that discovery shows ready;
// "" if it shows none.
func FoundLogin(app *basefx.App) string {
	found, count := "", 0
	for svc := range app.Discover().Snapshot().Services("login") {
		addr := svc.Meta[discovery.MetaWAN]
		if addr == "" || svc.State != discovery.Ready || !app.Allows(svc) {
			continue
		}
		if count++; rand.IntN(count) == 0 {
			found = addr
		}
	}
	return found
}

// FindLogin waits until there is a login to find. tell is called with what it
// waits for, every second: most waits are shorter. The error is the last of that,
// when ctx is done.
func FindLogin(ctx context.Context, app *basefx.App, tell func(why error)) (addr string, err error) {
	reg := app.Discover()
	for next := time.Now().Add(time.Second); ; {
		rev := reg.Snapshot().Revision()
		if addr := FoundLogin(app); addr != "" {
			return addr, nil
		}
		patient, cancel := context.WithDeadline(ctx, next)
		_, err := reg.Wait(patient, rev)
		late := patient.Err() != nil
		cancel()
		if err == nil {
			continue
		}
		why := errors.New("no login is ready (or give -login=host:port)")
		if rev == 0 {
			if why = app.Unwelcome(); why == nil {
				why = fmt.Errorf("no memsd at %s (start it, or give -login=host:port)", app.Flags.SDAddr)
			}
		}
		if ctx.Err() != nil || !late {
			return "", why
		}
		tell(why)
		next = time.Now().Add(time.Second)
	}
}
