package crew

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// maxSources bounds a range of addresses that was mistyped.
const maxSources = 4096

// sources are the addresses that connections come from, in turn.
type sources struct {
	dialers []net.Dialer // at least one
	next    *atomic.Uint64
}

// parseSources reads "a-b,c": ranges and single addresses. An empty text leaves
// the choice to the system.
func parseSources(text string) (sources, error) {
	var all []netip.Addr
	for part := range strings.SplitSeq(text, ",") {
		if text == "" {
			break
		}
		from, to, isRange := strings.Cut(part, "-")
		first, err := netip.ParseAddr(strings.TrimSpace(from))
		if err != nil {
			return sources{}, err
		}
		last := first
		if isRange {
			if last, err = netip.ParseAddr(strings.TrimSpace(to)); err != nil {
				return sources{}, err
			}
		}
		if last.Less(first) || last.BitLen() != first.BitLen() {
			return sources{}, fmt.Errorf("%s: the range goes backwards", part)
		}
		for a := first; ; a = a.Next() {
			if all = append(all, a); len(all) > maxSources {
				return sources{}, fmt.Errorf("%s: more than %d addresses", text, maxSources)
			}
			if a == last {
				break
			}
		}
	}
	// Probes of a silent peer are the heartbeats' business.
	base := net.Dialer{Timeout: 10 * time.Second, KeepAlive: -1}
	if len(all) == 0 {
		return sources{dialers: []net.Dialer{base}, next: new(atomic.Uint64)}, nil
	}
	s := sources{next: new(atomic.Uint64)}
	for _, a := range all {
		d := base
		d.LocalAddr = &net.TCPAddr{IP: a.AsSlice(), Zone: a.Zone()}
		d.Control = latePort
		s.dialers = append(s.dialers, d)
	}
	return s, nil
}

func (s sources) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &s.dialers[int(s.next.Add(1)-1)%len(s.dialers)]
	return d.DialContext(ctx, network, addr)
}
