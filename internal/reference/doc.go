// Package reference writes the reference documentation from the code: docs/reference and docs/man.
//
// What the code knows comes from the code: the options from config, the routes from httpapi, the
// commands from ctl, and from the sources what has no value to ask for: the fields of JSON answers,
// the words of error messages, exit codes. What only people know, such as what to do about a message,
// stands here beside the word that it is about; a word or field without it, and one of which the code
// knows nothing any more, is an error. So the pages cannot fall behind unnoticed: a test compares them
// with what is committed, and `make docs` writes them anew.
//
// It is part of no program, starts no goroutine, and writes no file itself. The same sources give the
// same bytes, whatever the day and the machine.
package reference
