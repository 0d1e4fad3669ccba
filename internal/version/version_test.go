package version

import (
	"regexp"
	"runtime"
	"testing"
)

func TestStringHasNsqlookupdsForm(t *testing.T) {
	got, want := String("raftlookupd"), "raftlookupd v"+Binary+" (built w/"+runtime.Version()+")"
	if got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
}

func TestBinaryIsSemver(t *testing.T) {
	if !regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$`).MatchString(Binary) {
		t.Errorf("%q is not semver", Binary)
	}
}
