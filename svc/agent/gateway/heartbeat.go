package gateway

import (
	"strconv"
	"time"
)

// heartbeatKey is where operators set how long, in seconds, a client may be
// silent; 0 is forever. Clients say something every 5 s.
const heartbeatKey = "config/agent/heartbeat_sec"

const (
	defaultHeartbeat = 30 * time.Second // without a value
	longestHeartbeat = 24 * 3600        // seconds
)

// heartbeat is what was last read under heartbeatKey.
type heartbeat struct {
	text string        // as it stood there, "" for nothing
	most time.Duration // what the last text that made sense says
}

// idle is how long a client may be silent. A text that makes no sense is told
// once, and what held before holds on.
func (g *Gateway) idle() time.Duration {
	text, _ := g.registry.Snapshot().Value(heartbeatKey)
	if text == g.beat.text {
		return g.beat.most
	}
	g.beat.text = text
	sec, err := strconv.Atoi(text)
	switch {
	case text == "":
		g.beat.most = defaultHeartbeat
	case err != nil || sec < 0 || sec > longestHeartbeat:
		g.log.Error("heartbeat refused, the old one stays in force", "key", heartbeatKey, "value", text, "want", "0 to 86400 seconds", "still", g.beat.most)
		return g.beat.most
	default:
		g.beat.most = time.Duration(sec) * time.Second
	}
	g.log.Info("heartbeat in force", "key", heartbeatKey, "silence", g.beat.most)
	return g.beat.most
}
