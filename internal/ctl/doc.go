// Package ctl is lookupctl, the operator's command line: it asks replicas over HTTP, shows what they
// answer as tables or as JSON, and turns whatever goes wrong into one line that says what to do next.
//
// It decides nothing: what may leave, be removed or be restored is for the replicas to say. It knows
// no other protocol than HTTP, and keeps no state between runs. Each run owns its goroutines and ends
// them before it returns. What -o json prints is stable: the types in documents.go are its
// description.
package ctl
