// Package logging makes the one structured logger that every part of a replica is handed, in
// nsqlookupd's text form or as JSON, and lends it to hashicorp/raft and to libraries that want a
// *log.Logger. A Buffer stands between the logger and the process's stderr, so that no call that logs
// waits for whatever reads the log.
//
// Without a Buffer each record is one Write of one line; a Buffer writes whole lines, of up to 4 KiB
// together. So several loggers may share a file with other programs. A logger is safe for concurrent
// use. A Buffer owns one goroutine, which Close ends; a logger by itself has none. No global state.
// Nothing here ends the process: LevelFatal only names the severity.
package logging
