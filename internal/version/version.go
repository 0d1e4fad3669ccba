package version

import "runtime"

// Binary is the version of raftlookupd and lookupctl, as semver without a leading v. /info answers
// it: go-nsq and nsqadmin parse that field.
const Binary = "0.2.0"

// String is the line that -version prints, in the form of nsqio/nsq, internal/version.
func String(app string) string {
	return app + " v" + Binary + " (built w/" + runtime.Version() + ")"
}
