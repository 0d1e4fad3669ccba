// Package config turns the command line, the environment and the TOML file into one checked Config.
//
// A flag wins over RAFTLOOKUPD_… in the environment, which wins over the file, which wins over the
// default. nsqlookupd's own command lines and files work unchanged. It reads the file and the
// hostname, and nothing else; it opens no listener, makes no directory, resolves no name, and starts
// no goroutine. Every option is one row of the table in options.go.
package config
