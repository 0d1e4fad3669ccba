// Package snapfile is the form of a file that holds a saved registry: who it is of, and its bytes,
// checked whenever it is read.
//
//	"raftlookupd-snapshot 1\n"
//	the Header as JSON, at most 16 KiB, and "\n"
//	chunks: length (4 bytes, big-endian), not 0 and at most 64 KiB, and so many bytes
//	a length of 0
//	SHA-256 of all before it
//
// and nothing after that. What the bytes mean is not its job, nor what becomes of them.
//
// Goroutines: it starts none. A Writer and a Reader each belong to one goroutine at a time, and
// wait for nobody but the writer or reader below them.
//
// What it promises:
//
//   - A Reader says io.EOF only when every byte of the file is what was written, and there is no more.
//     So whoever has not seen io.EOF may believe neither the header nor the body.
//   - A file that was not written to its end is not taken for a whole one.
//   - No file makes it panic, or use more than a few buffers of memory.
//   - A later version may add fields to the header under the same number; whatever an older reader
//     would misunderstand needs the next number.
package snapfile
