// Package faults holds the tests of what cuts, pauses and kills do to a cluster and to its nsqds, with the real programs
// at default flags in network namespaces. README.md in the directory above says what they need and how to read them.
package faults
