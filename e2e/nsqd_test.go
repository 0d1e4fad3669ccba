package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"
)

// nsqd is a real one; its producer's key is its TCP address.
type nsqd struct {
	*process
	tcp, http string
	client    *http.Client
}

func startNsqd(t *testing.T, l *lookupd) *nsqd {
	t.Helper()
	return startNsqdFor(t, l.tcp)
}

// startNsqdFor starts one that registers at each of the addresses.
func startNsqdFor(t *testing.T, addresses ...string) *nsqd {
	t.Helper()
	n := &nsqd{tcp: freeAddress(t), http: freeAddress(t), client: newHTTPClient()}
	t.Cleanup(n.client.CloseIdleConnections)
	args := []string{"-tcp-address", n.tcp, "-http-address", n.http, "-broadcast-address", "127.0.0.1",
		"-data-path", t.TempDir()}
	for _, a := range addresses {
		args = append(args, "-lookupd-tcp-address", a)
	}
	n.process = startProcess(t, "nsqd", program("nsqd"), args...)
	eventually(t, patience, func() error { return n.get("/ping", nil) })
	return n
}

func (n *nsqd) get(path string, out any) error {
	return call(n.client, http.MethodGet, "http://"+n.http+path, "", out)
}

func (n *nsqd) post(path, body string) error {
	return call(n.client, http.MethodPost, "http://"+n.http+path, body, nil)
}

func (n *nsqd) publish(topic, message string) error {
	return n.post("/pub?topic="+url.QueryEscape(topic), message)
}

// hasChannels returns nil when the nsqd itself has exactly these channels of a topic.
func (n *nsqd) hasChannels(topic string, want ...string) error {
	var stats struct {
		Topics []struct {
			Channels []struct {
				Name string `json:"channel_name"`
			} `json:"channels"`
		} `json:"topics"`
	}
	if err := n.get("/stats?format=json&topic="+url.QueryEscape(topic), &stats); err != nil {
		return err
	}
	var got []string
	for _, tt := range stats.Topics {
		for _, c := range tt.Channels {
			got = append(got, c.Name)
		}
	}
	if len(stats.Topics) != 1 || !sameSet(got, want) {
		return fmt.Errorf("nsqd has %d topics named %s with channels %v, want %v", len(stats.Topics), topic, got, want)
	}
	return nil
}

// hasNoTopic returns nil when the nsqd itself does not have the topic.
func (n *nsqd) hasNoTopic(topic string) error {
	var stats struct {
		Topics []struct{} `json:"topics"`
	}
	err := n.get("/stats?format=json&topic="+url.QueryEscape(topic), &stats)
	if err == nil && len(stats.Topics) > 0 {
		err = fmt.Errorf("nsqd has topic %s", topic)
	}
	return err
}

// nsqadmin is a real one.
type nsqadmin struct {
	*process
	http   string
	client *http.Client
}

func startNsqadmin(t *testing.T, l *lookupd) *nsqadmin {
	t.Helper()
	a := &nsqadmin{http: freeAddress(t), client: newHTTPClient()}
	t.Cleanup(a.client.CloseIdleConnections)
	a.process = startProcess(t, "nsqadmin", program("nsqadmin"),
		"-http-address", a.http, "-lookupd-http-address", l.http)
	eventually(t, patience, func() error {
		return call(a.client, http.MethodGet, "http://"+a.http+"/ping", "", nil)
	})
	return a
}

// do makes a request that nsqadmin must carry out without a warning.
func (a *nsqadmin) do(method, path, body string, out *adminAnswer) error {
	if out == nil {
		out = &adminAnswer{}
	}
	if err := call(a.client, method, "http://"+a.http+path, body, out); err != nil {
		return err
	}
	if out.Message != "" { // some server did not answer as it should
		return fmt.Errorf("%s %s: %s", method, path, out.Message)
	}
	return nil
}

// node is how nsqadmin names an nsqd, broadcast_address:http_port.
func (n *nsqd) node() string {
	_, port, _ := net.SplitHostPort(n.http)
	return net.JoinHostPort("127.0.0.1", port)
}
