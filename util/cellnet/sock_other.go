//go:build !unix

package cellnet

// socket is never usable here: sessions read and write through net.Conn, with
// a writer goroutine for every flush.
type socket struct{}

func (k *socket) open(*Session)                          {}
func (k *socket) usable() bool                           { return false }
func (k *socket) read(*Session) (int, error)             { return 0, nil }
func (k *socket) tryRead(*Session) (int, error)          { return 0, nil }
func (k *socket) tryWrite(*Session, []byte) (int, error) { return 0, nil }
func (k *socket) waitWrite(*Session) error               { return nil }
