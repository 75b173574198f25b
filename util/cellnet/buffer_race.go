//go:build race

package cellnet

// poison overwrites buffers as they are given back, so that tests under the
// race detector see whoever still reads them.
const poison = true
