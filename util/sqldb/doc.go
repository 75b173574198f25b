// Package sqldb is a SQL database for services that must not lose what they
// have acknowledged, and have many small writes at a time.
//
// [DB.Write] gathers the writes that wait into one transaction: all are
// committed at once, with one sync of the disk; each is answered after that. An
// error undoes only its own write: the others are made again, in savepoints. A
// batch grows by itself while the one before is being synced: there is no
// timer, and a write that is alone does not wait. [DB.Read] reads a consistent
// state beside them. [DB.Prepare] brings the tables of each user of the
// database up to what its program knows ([Migrations]), by versions.
//
// A source such as "sqlite:game.db" is a SQLite file, which several processes
// of one machine may share: they take turns to write (turn.go), so that a busy
// one does not starve the others. Write SQL that PostgreSQL understands too
// (placeholders are $1, $2 ...): it then is a driver and a case in source.go
// away.
//
// The driver is modernc.org/sqlite, SQLite itself translated to Go. It writes as
// fast as github.com/ncruces/go-sqlite3, which compiles some seconds quicker but
// has a file layer of its own, "not as battle tested" in its own words.
//
// Open db.go first, then write.go and batch.go.
package sqldb
