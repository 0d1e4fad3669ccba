package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/raftlookupd/raftlookupd/cluster"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

func (r *running) status() (cluster.Status, error) {
	var s cluster.Status
	code, body := r.get("/cluster/status")
	if code != http.StatusOK {
		return s, fmt.Errorf("%d %s", code, body)
	}
	return s, json.Unmarshal([]byte(body), &s)
}

func (r *running) becomes(role string) {
	r.t.Helper()
	eventually.True(r.t, soon, "role "+role, func() error {
		s, err := r.status()
		if err == nil && s.Role != role {
			err = fmt.Errorf("it is %s: %s%s", s.Role, s.Reason, s.WaitingFor)
		}
		return err
	})
}

// A daemon whose replica joins, leaves, and joins again goes on at the same addresses.
func TestJoinAndLeaveInOneProcess(t *testing.T) {
	first, second := start(t, testConfig(t, "r1")), start(t, testConfig(t, "r2"))
	n, _ := first.identified(4150)
	n.ok("REGISTER topic")
	before := second.Addresses()
	for range 2 {
		second.post("/cluster/join?address=" + first.Addresses().Gossip)
		second.becomes("voter")
		eventually.True(t, soon, "the registry is there", func() error {
			if !second.lists("topic", 4150) {
				return errors.New("it is not")
			}
			return nil
		})
		second.post("/cluster/leave")
		second.becomes("none")
		if code, body := second.get("/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("readyz after it left: %d %s", code, body)
		}
		if got, _ := io.ReadAll(second.dial()); len(got) > 0 { // it hangs up, so that nsqds go elsewhere
			t.Errorf("an nsqd was answered %q", got)
		}
	}
	if got := second.Addresses(); got != before {
		t.Errorf("addresses %+v, were %+v", got, before)
	}
	code, body := answer(t, http.MethodPost, "http://"+first.Addresses().HTTP+"/cluster/leave")
	if code != http.StatusConflict || !strings.Contains(body, `"message":"LEAVE_REFUSED","reason":"`) {
		t.Errorf("the last one leaves: %d %s", code, body)
	}
	for path, want := range map[string]int{
		"/cluster/remove?name=nobody":       http.StatusNotFound,
		"/cluster/join?address=127.0.0.1:1": http.StatusConflict,
	} {
		if code, body := answer(t, http.MethodPost, "http://"+first.Addresses().HTTP+path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}
