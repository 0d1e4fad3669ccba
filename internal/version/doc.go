// Package version holds the version of the programs and the form in which they print it.
package version
