package gateway

import (
	"fmt"
	"time"
)

// settingsPrefix is where operators set the fields of settings, by their JSON
// names: config/agent/heartbeat_sec. Running agents follow.
const settingsPrefix = "config/agent/"

// settings are what operators may change while agents run.
type settings struct {
	// HeartbeatSec is how long, in seconds, a client may be silent; 0 is
	// forever. Clients say something every 5 s.
	HeartbeatSec int `json:"heartbeat_sec"`
}

func defaultSettings() settings { return settings{HeartbeatSec: 30} }

const longestHeartbeat = 24 * 3600 // seconds

// Validate implements what discovery.Bind asks for.
func (s *settings) Validate() error {
	if s.HeartbeatSec < 0 || s.HeartbeatSec > longestHeartbeat {
		return fmt.Errorf("heartbeat_sec is %d, want 0 to %d seconds", s.HeartbeatSec, longestHeartbeat)
	}
	return nil
}

// idle is how long a client may be silent; 0 is forever.
func (g *Gateway) idle() time.Duration {
	return time.Duration(g.settings.Get().HeartbeatSec) * time.Second
}
