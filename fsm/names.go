package fsm

import "strings"

// MaxNameLength is the longest topic or channel name in bytes, the suffix #ephemeral included
// (nsqio/nsq, internal/protocol/names.go).
const MaxNameLength = 64

const ephemeralSuffix = "#ephemeral"

// AllTopics, given where a topic's name is expected, stands for every topic: nsqlookupd takes it
// in /lookup, /channels, /topic/delete and /topic/tombstone. It is no valid name.
const AllTopics = "*"

// ValidName reports whether name may name a topic or a channel: 1 to 64 bytes of [.a-zA-Z0-9_-]
// with an optional suffix #ephemeral (nsqio/nsq, internal/protocol/names.go).
func ValidName(name string) bool {
	if len(name) > MaxNameLength {
		return false
	}
	base := strings.TrimSuffix(name, ephemeralSuffix)
	for i := range len(base) {
		if !validNameByte(base[i]) {
			return false
		}
	}
	return base != ""
}

func validNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '.' || c == '_' || c == '-'
}

// IsEphemeral reports whether the topic or channel of that name goes with its last registration.
func IsEphemeral(name string) bool { return strings.HasSuffix(name, ephemeralSuffix) }
