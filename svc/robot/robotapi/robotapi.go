// Package robotapi is what the robot tells about a run. Open report.go first: the
// report, which -json writes. violation.go has the kinds of broken promises,
// event.go what -progress=json tells while robots play, for programs that follow
// it.
package robotapi
