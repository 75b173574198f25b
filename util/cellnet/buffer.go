package cellnet

import (
	"sync"
	"unsafe"
)

// Buffers come in a few sizes, each with a pool of its own. The pools are a
// cache, not state: nothing can be told from them, and the garbage collector
// empties them when it likes.
//
// 72 KiB holds the largest client frame with any prefix.
var bufferSizes = [...]int{1 << 8, 1 << 10, 4 << 10, 16 << 10, 72 << 10, 256 << 10}

var bufferPools [len(bufferSizes)]sync.Pool

// getBuffer returns an empty buffer with room for n bytes or more.
func getBuffer(n int) []byte {
	for i, size := range bufferSizes {
		if n > size {
			continue
		}
		if first, ok := bufferPools[i].Get().(*byte); ok {
			return unsafe.Slice(first, size)[:0]
		}
		return make([]byte, 0, size)
	}
	return make([]byte, 0, n)
}

// putBuffer gives a buffer back. The caller and its Handler must not touch it
// again. Only buffers with exactly a pool's size are kept, so that a pool's
// pointers are always good for that size.
func putBuffer(b []byte) {
	for i, size := range bufferSizes {
		if cap(b) == size {
			b = b[:size]
			if poison {
				spoil(b)
			}
			bufferPools[i].Put(unsafe.SliceData(b))
			return
		}
	}
}

// growBuffer returns b with room for n more bytes, in another buffer if need be.
func growBuffer(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	bigger := append(getBuffer(max(len(b)+n, 2*cap(b))), b...)
	putBuffer(b)
	return bigger
}

// bufferSize is the capacity getBuffer(n) will have.
func bufferSize(n int) int {
	for _, size := range bufferSizes {
		if n <= size {
			return size
		}
	}
	return n
}
