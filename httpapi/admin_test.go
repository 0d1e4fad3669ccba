package httpapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// fakeAdmin answers with what it was called with.
type fakeAdmin struct{ err error }

func (f fakeAdmin) Join(_ context.Context, address string) (bool, error) {
	return address == "member:1", f.err
}

func (f fakeAdmin) Leave(_ context.Context, force bool) error {
	if !force {
		return refusal{409, "LEAVE_REFUSED", "one, two"}
	}
	return f.err
}

func (f fakeAdmin) Remove(_ context.Context, name, id string, force bool) (string, error) {
	return fmt.Sprintf("%s/%s/%v", name, id, force), f.err
}

func (f fakeAdmin) Transfer(_ context.Context, name string) (string, error) {
	return "to " + name, f.err
}

type refusal struct {
	code            int
	message, reason string
}

func (r refusal) Error() string { return r.reason }

func (r refusal) Answer() (code int, message, reason string) { return r.code, r.message, r.reason }

func TestAdministration(t *testing.T) {
	s := start(t, Config{Replica: newFakeReplica(t), Admin: fakeAdmin{}})
	for _, c := range []struct{ request, code, body string }{
		{"/cluster/join?address=a:1", "200", `{"message":"JOINING"}`},
		{"/cluster/join?address=member:1", "200", `{"message":"MEMBER"}`},
		{"/cluster/join", "400", `{"message":"MISSING_ARG_ADDRESS"}`},
		{"/cluster/join?address=", "400", `{"message":"MISSING_ARG_ADDRESS"}`},
		{"/cluster/join?address=%zz", "400", `{"message":"INVALID_REQUEST"}`},
		{"/cluster/leave", "409", `{"message":"LEAVE_REFUSED","reason":"one, two"}`},
		{"/cluster/leave?force=false", "409", `{"message":"LEAVE_REFUSED","reason":"one, two"}`},
		{"/cluster/leave?force=true", "200", `{"message":"LEFT"}`},
		{"/cluster/leave?force=maybe", "400", `{"message":"INVALID_ARG_FORCE"}`},
		{"/cluster/leave?force=%zz", "400", `{"message":"INVALID_REQUEST"}`},
		{"/cluster/remove?name=r1", "200", `{"id":"r1//false","message":"REMOVED"}`},
		{"/cluster/remove?id=x&force=1", "200", `{"id":"/x/true","message":"REMOVED"}`},
		{"/cluster/remove?force=maybe&name=r1", "400", `{"message":"INVALID_ARG_FORCE"}`},
		{"/cluster/remove", "400", `{"message":"MISSING_ARG_NAME"}`},
		{"/cluster/remove?%zz", "400", `{"message":"INVALID_REQUEST"}`},
		{"/cluster/transfer", "200", `{"leader":"to ","message":"TRANSFERRED"}`},
		{"/cluster/transfer?name=r2", "200", `{"leader":"to r2","message":"TRANSFERRED"}`},
		{"/cluster/transfer?%zz", "400", `{"message":"INVALID_REQUEST"}`},
	} {
		expectAnswer(t, s, "POST "+c.request, c.code, c.body)
	}
	expectAnswer(t, s, "GET /cluster/leave", "405", `{"message":"METHOD_NOT_ALLOWED"}`)
}

func TestAdministrationThatFails(t *testing.T) {
	for want, err := range map[string]error{
		`503 {"message":"NO_LEADER"}`:                           messageError("NO_LEADER"),
		`502 {"message":"NO_ANSWER","reason":"ask \"r2\""}`:     fmt.Errorf("x: %w", refusal{502, "NO_ANSWER", `ask "r2"`}),
		`500 {"message":"INTERNAL_ERROR"}`:                      errors.New("secret"),
		`404 {"message":"NO_SUCH_REPLICA","reason":"line one"}`: refusal{404, "NO_SUCH_REPLICA", "line one"},
	} {
		s := start(t, Config{Replica: newFakeReplica(t), Admin: fakeAdmin{err}})
		code, body, _ := strings.Cut(want, " ")
		for _, route := range []string{"/cluster/join?address=a", "/cluster/leave?force=true", "/cluster/remove?name=a", "/cluster/transfer"} {
			expectAnswer(t, s, "POST "+route, code, body)
		}
	}
}

type messageError string

func (m messageError) Error() string   { return "x" }
func (m messageError) Message() string { return string(m) }

func expectAnswer(t *testing.T, s *running, request, code, body string) {
	t.Helper()
	got := exchange(t, s.addr, request, "")
	if !strings.HasPrefix(got, "HTTP/1.1 "+code+" ") || !strings.HasSuffix(got, "\r\n\r\n"+body) {
		t.Errorf("%s: %q, want %s %s", request, got, code, body)
	}
}
