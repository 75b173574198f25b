// Moderate mutes and bans players, live: who is muted cannot say anything to
// others, who is banned is put out and not let in.
//
//	go run ./tool/moderate -mute=alice -for=1h -why="no shouting"
//	go run ./tool/moderate -ban=bob                # until it is lifted
//	go run ./tool/moderate -lift=alice
//	go run ./tool/moderate -list
//
// It writes to the memsd at -sdaddr, and has the flags that every program has
// (-secret, -sdca). What it writes is in package basefx/sanction. There is one
// file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/basefx/sanction"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func main() { basefx.Main("moderate", newModerator, basefx.Standalone) }

// moderator is the program.
type moderator struct {
	mute, ban, lift string
	list            bool
	long            time.Duration
	why             string
	patience        time.Duration // with memsd, until it has answered
}

func newModerator(fs *flag.FlagSet) basefx.Service {
	m := &moderator{patience: 5 * time.Second}
	fs.StringVar(&m.mute, "mute", "", "uid of a player who shall not speak")
	fs.StringVar(&m.ban, "ban", "", "uid of a player who shall not be here")
	fs.StringVar(&m.lift, "lift", "", "uid of a player who may again")
	fs.BoolVar(&m.list, "list", false, "list mutes and bans")
	fs.DurationVar(&m.long, "for", 0, "how long (90m, 720h); 0 is until it is lifted")
	fs.StringVar(&m.why, "why", "", "reason, which the player is told")
	basefx.Default(fs, "loglevel", "error")
	basefx.Default(fs, "httpaddr", "")
	return m
}

// check refuses flags that make no sense.
func (m *moderator) check() error {
	asked := 0
	for _, is := range []bool{m.mute != "", m.ban != "", m.lift != "", m.list} {
		if is {
			asked++
		}
	}
	switch {
	case asked != 1:
		return errors.New("say one of -mute=UID, -ban=UID, -lift=UID and -list")
	case m.long < 0:
		return fmt.Errorf("-for=%v: must not be negative", m.long)
	case (m.long != 0 || m.why != "") && m.mute == "" && m.ban == "":
		return errors.New("-for and -why go with -mute and -ban")
	}
	return nil
}

// Start does what was asked for, and stops the process.
func (m *moderator) Start(_ context.Context, app *basefx.App) error {
	if err := m.check(); err != nil {
		return err
	}
	reg := app.Discover()
	app.Go("moderate", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, m.patience, fmt.Errorf("no answer within %v: go run ./svc/memsd", m.patience))
		defer cancel()
		err := m.do(ctx, reg, app.Stdout)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			err = fmt.Errorf("memsd at %s: %w", app.Flags.SDAddr, err)
		}
		app.Stop(err)
		return nil
	})
	return nil
}

// do does what was asked for, and says what that was.
func (m *moderator) do(ctx context.Context, reg discovery.Registry, out io.Writer) error {
	snap, err := reg.Wait(ctx, 0)
	if err != nil {
		return err
	}
	switch {
	case m.list:
		return show(out, snap, time.Now())
	case m.lift != "":
		lifted, err := sanction.Lift(ctx, reg, m.lift)
		if err != nil {
			return err
		}
		if len(lifted) == 0 {
			return fmt.Errorf("there is nothing against %q", m.lift)
		}
		fmt.Fprintf(out, "lifted: %v of %s\n", lifted, m.lift)
		return nil
	}
	s := sanction.Sanction{Kind: sanction.Mute, UID: m.mute, Why: m.why}
	if m.ban != "" {
		s.Kind, s.UID = sanction.Ban, m.ban
	}
	if m.long > 0 {
		s.Until = time.Now().Add(m.long).Truncate(time.Second).Add(time.Second)
	}
	if err := sanction.Set(ctx, reg, s); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is told: %s\n", s.UID, s.Reason())
	return nil
}

// show lists what there is.
func show(out io.Writer, snap *discovery.Snapshot, now time.Time) error {
	all, broken := sanction.List(snap)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "uid\twhat\tuntil\tleft\twhy")
	for _, s := range all {
		until, left := "it is lifted", ""
		if !s.Until.IsZero() {
			until, left = s.Until.UTC().Format("2006-01-02 15:04:05"), s.Until.Sub(now).Truncate(time.Second).String()
		}
		if s.Over(now) {
			left = "over"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", s.UID, s.Kind, until, left, s.Why)
	}
	return errors.Join(append(broken, t.Flush())...)
}
