package cluster

import (
	"fmt"
	"testing"
	"time"
)

func TestDeadAges(t *testing.T) {
	const s = time.Second
	was := deadAges{"a": 5 * s, "b": 3 * s}
	for name, tc := range map[string]struct {
		heard bool
		dead  []string
		want  deadAges
	}{
		"both":           {true, []string{"a", "b"}, deadAges{"a": 6 * s, "b": 4 * s}},
		"without leader": {false, []string{"a", "b"}, deadAges{"a": 5 * s, "b": 3 * s}},
		"one is back":    {true, []string{"b"}, deadAges{"b": 4 * s}},
		"another":        {true, []string{"a", "c"}, deadAges{"a": 6 * s, "c": 0}},
		"none":           {true, nil, deadAges{}},
	} {
		if got := was.older(s, tc.heard, tc.dead); fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	for _, tc := range []struct {
		ages  deadAges
		limit time.Duration
		want  string
	}{
		{was, 5 * s, "a"}, {was, 5*s + 1, ""}, {was, s, "a"}, {nil, 0, ""}, {deadAges{"y": s, "x": s}, s, "x"},
	} {
		if got := tc.ages.oldest(tc.limit); got != tc.want {
			t.Errorf("%v, %s: %q, want %q", tc.ages, tc.limit, got, tc.want)
		}
	}
}
