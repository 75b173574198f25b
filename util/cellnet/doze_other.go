//go:build !linux

package cellnet

// dozer watches nothing here: a quiet session keeps a goroutine.
type dozer struct{ loops bool }

func (a *Acceptor) loops() int { return 1 }

func (*dozer) add(*Session, func(func())) bool { return false }
func (*dozer) remove(*Session)                 {}
func (*dozer) close()                          {}
func (*dozer) batch(*Session)                  {}
