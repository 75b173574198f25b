package basefx

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// MsgLog is the log of single messages: who sent what, by name and size, never
// what is in it. It is for developers, under the logger name "msg":
// -loglevel=info,msg=debug, less the messages of -mutemsglog. nil is a log that
// is switched off, which is what asking costs then.
//
//	if msgs.Enabled(id) {
//		msgs.Log("from client", id, len(body), "uid", uid)
//	}
type MsgLog struct {
	log   *slog.Logger
	muted map[uint16]bool
}

// MsgLog is this process's log of messages; nil if it is switched off.
func (a *App) MsgLog() *MsgLog {
	log := a.Logger("msg")
	if !log.Enabled(a.life, slog.LevelDebug) {
		return nil
	}
	return &MsgLog{log, a.Flags.muted}
}

// Enabled reports whether messages of this ID are logged.
func (m *MsgLog) Enabled(id uint16) bool { return m != nil && !m.muted[id] }

// Log logs one message of size bytes: what happened to it, and whatever else
// args (as for slog) tell. Ask Enabled first.
func (m *MsgLog) Log(what string, id uint16, size int, args ...any) {
	name := pb.MessageName(id)
	if name == "" {
		name = fmt.Sprint(id)
	}
	m.log.Debug(what, append([]any{"message", name, "bytes", size}, args...)...)
}

// parseMuted reads names of messages, separated by commas.
func parseMuted(s string) (map[uint16]bool, error) {
	ids := map[string]uint16{}
	for _, m := range pb.Messages() {
		ids[m.Name] = m.ID
	}
	muted := map[uint16]bool{}
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		id, ok := ids[name]
		if !ok {
			return nil, fmt.Errorf("there is no message %q in the .proto files", name)
		}
		muted[id] = true
	}
	return muted, nil
}
