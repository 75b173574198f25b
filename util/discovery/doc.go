// Package discovery is how the processes of a cluster find each other and share configuration.
//
// # The model
//
// There is one set of services and one set of values, and one revision counter over both. Every change raises the
// revision; a batch is one change.
//
// A service is a registered process: "game#0@dev" is the game with index 0 in group dev. It is there as long as its
// owner holds the [Lease] that [Registry.Register] gave: as long as the process lives, is connected, and is heard of at
// least once in its time-to-live. A registration under an ID that is taken replaces the old one and gets a higher epoch;
// the old owner is told ([Lease.Lost]) and can no longer change or remove anything.
//
// A value is UTF-8 text under a key. [Registry.Apply] does a batch of operations on values, all or nothing, with
// conditions where needed (compare and set). An answered batch is durable, if the engine has a disk.
//
// Every process has the complete state in its own memory: [Registry.Snapshot] never blocks, never fails and
// allocates nothing. What one handle has done and got an answer for is in its own snapshot from then on.
//
//	Snapshot  what is there now?                     a look at a moment
//	Wait      tell me when something changed          level-triggered: for those who compare with what they want
//	Watch     tell me everything that changed         every event once, in order
//	Bind      keep a struct filled from the values    configuration
//
// The package's [Example] is a program with most of this; ExampleBind and ExampleRegistry_apply have the rest.
//
// # When the engine is away
//
// The process goes on with the snapshot it has: nobody is deregistered because the engine died. Registrations and
// updates are wanted from the moment they are asked for and made when the engine is back, within 3 seconds of its return;
// services keep their indexes and epochs even if it has lost its data. Batches wait for it as long as their context
// allows; one whose answer got lost fails with [ErrInDoubt] and is not sent twice.
//
// # Engines
//
// [NewMemory] is for tests and for programs that live alone; [Dial] is the client of svc/memsd. Both pass the suite
// of package contract, as does any engine added later.
//
// Open registry.go first: it has the interface. The rules of the state are in package store, what goes over the wire
// to memsd in package wire.
package discovery
