package consistency

import "testing"

func TestNames(t *testing.T) {
	for l, name := range map[Level]string{Local: "local", Leader: "leader", Linearizable: "linearizable"} {
		if got := l.String(); got != name {
			t.Errorf("%d is %q, want %q", l, got, name)
		}
		if got, err := Parse(name); got != l || err != nil {
			t.Errorf("%q is %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "Local", "quorum", "linearizable "} {
		if got, err := Parse(name); err == nil {
			t.Errorf("%q is %v", name, got)
		}
	}
	if got := Level(3).String(); got != "Level(3)" {
		t.Errorf("level 3 is %s", got)
	}
}
