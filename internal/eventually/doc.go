// Package eventually holds the one polling helper of the tests, so that no test sleeps to
// synchronise. It starts no goroutine.
package eventually
