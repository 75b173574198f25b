// Package msgid knows how a message's name becomes the ID that stands in every frame.
//
// It is apart from the generated package pb so that the generator itself can use it.
package msgid

// Of returns the ID of the message called name: a hash of "proto" and the name in 16-bit
// arithmetic, as clients have computed it since 2019. Two names can get one ID; protogen refuses that.
func Of(name string) uint16 {
	const pkg = "proto"
	var h uint16
	for i := range len(pkg) {
		h += h<<5 + uint16(pkg[i]) + uint16(pkg[i])<<7
	}
	for i := range len(name) {
		h += h<<5 + uint16(name[i]) + uint16(name[i])<<7
	}
	return h
}

// Reserved says why no message may have this ID, or "" when it may.
func Reserved(id uint16) string {
	switch id {
	case 0:
		return "0 means no message"
	case 8276:
		return `a frame of 17735 bytes with it begins with "GET ", which is how a WebSocket client begins`
	}
	return ""
}
