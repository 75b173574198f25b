//go:build !race

package cellnet

const poison = false
