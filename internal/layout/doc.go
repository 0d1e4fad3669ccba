// Package layout holds the tests that keep the project in shape: which package may import which, what
// makes fsm pure, how long things may get, and who may end the process. It has no code of its own, and
// each rule is also tested on a sample that breaks it.
package layout
