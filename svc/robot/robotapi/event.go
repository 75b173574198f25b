package robotapi

import (
	"encoding/json"
	"fmt"
)

// Phases of a run, in order. What is measured lies between Measuring and
// Measured.
const (
	Entering  = "entering"  // robots get in
	Online    = "online"    // everybody is in who gets in
	Measuring = "measuring" // warm-up is over
	Measured  = "measured"  // nothing more is sent
)

// Event is a line of -progress=json.
type Event struct {
	Phase  string  `json:"phase"`            // that has begun, or goes on
	Robots int     `json:"robots"`           // asked for, idle ones too
	Online int     `json:"online"`           // of them are in
	Left   float64 `json:"left,omitempty"`   // seconds to measure, at Measuring; 0: until interrupted
	Second *Second `json:"second,omitempty"` // of Measuring, that has passed
}

// ParseEvent reads a line.
func ParseEvent(line string) (Event, error) {
	var e Event
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		return e, fmt.Errorf("%q is no event of a robot: %w", line, err)
	}
	return e, nil
}
