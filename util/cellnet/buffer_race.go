//go:build race

package cellnet

// Under the race detector buffers are overwritten as they are given back, so
// that tests see whoever still reads them.
const poison = true

func spoil(b []byte) {
	b[0] = 0xDB
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}
