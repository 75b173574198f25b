package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// startLimit is how long servers may take to be ready.
const startLimit = 30 * time.Second

// servers are what robots play against.
type servers struct {
	robot []string          // arguments that lead a robot there
	path  []*child          // processes that a message goes through
	all   []*child          // all processes
	http  map[*child]string // operators' endpoints, of ours
}

// named are the processes of these programs.
func (s *servers) named(programs ...string) (found []*child) {
	for _, c := range s.all {
		program, _, _ := strings.Cut(c.name, "#")
		if slices.Contains(programs, program) {
			found = append(found, c)
		}
	}
	return found
}

// start starts a server. It is stopped by stopAll.
func (b *bench) start(s *servers, name, program string, args ...string) error {
	c, err := spawn(b.dir, name, false, program, args...)
	if err != nil {
		return err
	}
	s.all = append(s.all, c)
	b.running = append(b.running, c)
	return nil
}

// stopAll ends all processes that run. Nothing of them is to be kept.
func (b *bench) stopAll() {
	for _, c := range slices.Backward(b.running) {
		c.cmd.Process.Kill()
	}
	for _, c := range b.running {
		c.stop(false)
	}
	b.running = nil
}

// startRelay starts the relay's two processes.
func (b *bench) startRelay(ctx context.Context) (*servers, error) {
	backend, err := freeAddr()
	if err != nil {
		return nil, err
	}
	gate, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s := &servers{robot: []string{"-noverify-token", "-agent=" + gate, fmt.Sprint("-ackid=", pb.EchoACKID)}}
	if err := b.start(s, "relay-backend", b.relay, "-role", "backend", "-addr", backend, "-ackid", fmt.Sprint(pb.EchoACKID)); err != nil {
		return nil, err
	}
	if err := b.awaitListener(ctx, s, backend); err != nil {
		return nil, err
	}
	if err := b.start(s, "relay-gate", b.relay, "-role", "gate", "-addr", gate, "-backend", backend); err != nil {
		return nil, err
	}
	s.path = s.all
	return s, b.awaitListener(ctx, s, gate)
}

// startSelf starts this program as what a case compares with: "loop" or "bare".
// flags lead a robot there; the last one takes the address.
func (b *bench) startSelf(ctx context.Context, as string, flags ...string) (*servers, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	flags = slices.Clone(flags)
	flags[len(flags)-1] += "=" + addr
	s := &servers{robot: flags}
	if err := b.start(s, as, self, "-"+as+"="+addr); err != nil {
		return nil, err
	}
	s.path = s.all
	return s, b.awaitListener(ctx, s, addr)
}

// startCluster starts memsd and our services, with so many agents, and waits
// until they are ready. It is on the path of an echo: agent and game.
func (b *bench) startCluster(ctx context.Context, agents int) (*servers, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s := &servers{http: map[*child]string{}}
	data := filepath.Join(b.dir, "persist.json")
	if err := os.RemoveAll(data); err != nil {
		return nil, err
	}
	common := []string{"-flagfile=", "-lifeline", "-sdaddr=" + addr}
	if err := b.start(s, "memsd", b.program("memsd"), "-flagfile=", "-lifeline", "-addr="+addr, "-datafile="+data); err != nil {
		return nil, err
	}
	if err := b.awaitListener(ctx, s, addr); err != nil {
		return nil, err
	}
	reg := discovery.Dial(ctx, addr, discovery.Options{})
	defer reg.Close()
	if err := pushRoutes(ctx, reg); err != nil {
		return nil, err
	}
	names := []string{"hub#0", "game#0", "social#0", "login#0"}
	for i := range agents {
		names = append(names, fmt.Sprintf("agent#%d", i))
	}
	for _, name := range names {
		program, index, _ := strings.Cut(name, "#")
		args := slices.Concat(common, []string{"-svcindex=" + index})
		if program == "login" {
			args = append(args, "-platforms=demo")
		}
		if err := b.start(s, name, b.program(program), args...); err != nil {
			return nil, err
		}
	}
	s.path = s.named("agent", "game")
	err = await(ctx, "cluster is ready", startLimit, s.all, func() bool {
		snap := reg.Snapshot()
		for _, c := range s.all[1:] {
			svc, ok := snap.Service(c.name + "@dev")
			if !ok || svc.State != discovery.Ready {
				return false
			}
			s.http[c] = svc.Meta[discovery.MetaHTTP]
		}
		login, _ := snap.Service("login#0@dev")
		s.robot = []string{"-login=" + login.Meta[discovery.MetaWAN]}
		return true
	})
	return s, err
}

// pushRoutes puts the routes of the .proto files into memsd, without limits of
// rate: it is them that are to be found.
func pushRoutes(ctx context.Context, reg discovery.Registry) error {
	messages := slices.Clone(pb.Messages())
	for i := range messages {
		messages[i].Rate, messages[i].Burst = 0, 0
	}
	table, err := route.FromMessages(messages)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := discovery.Set(ctx, reg, route.Key, string(route.Marshal(table))); err != nil {
		return fmt.Errorf("push routes: %w", err)
	}
	return nil
}

// awaitListener waits until somebody listens at addr.
func (b *bench) awaitListener(ctx context.Context, s *servers, addr string) error {
	return await(ctx, "listening at "+addr, startLimit, s.all, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// freeAddr is an address that nobody listens at just now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
