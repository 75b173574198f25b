// Package player is one robot as a scenario sees it: it can send, hear, wait and
// complain.
//
// A scenario is a function that is given a [Robot] before it is online and tells
// it what to do when something happens:
//
//	func greet(r *player.Robot) {
//		greeting, heard, since := "hello from "+r.UID, r.Op("greet"), time.Duration(0)
//		r.Pace(func(due time.Duration) {
//			since = due
//			r.Send(&pb.ChatREQ{Content: greeting})
//		})
//		player.Hear(r, func(m *pb.ChatACK) {
//			if m.Content == greeting {
//				r.Record(heard, since)
//				r.Again()
//			}
//		})
//	}
//
// Whatever a scenario gave the robot to call is called by one goroutine at a
// time, under the robot's lock; scenarios need no locks for what is one robot's.
// What they append to the connection is written at the end of the batch.
//
// Open robot.go first: what a scenario can call. life.go is what the program
// calls; run.go is what all robots of a run share. A robot costs its
// connection's goroutine, this struct and what its scenario holds: pace.go is how
// requests are spaced without a goroutine or timer each, wheel.go the one clock
// they share. window.go checks replies that have numbers, calls.go those that
// name their request. visit.go is for scenarios that come and go.
package player
