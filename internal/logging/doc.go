// Package logging makes the one structured logger that every part of a replica is handed, in
// nsqlookupd's text form or as JSON, and lends it to hashicorp/raft and to libraries that want a
// *log.Logger.
//
// Each record is one Write of one line, so several loggers may share a file with other programs. No
// goroutines, no global state; a logger is safe for concurrent use. Nothing here ends the process:
// LevelFatal only names the severity.
package logging
