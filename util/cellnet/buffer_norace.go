//go:build !race

package cellnet

const poison = false

func spoil([]byte) {}
