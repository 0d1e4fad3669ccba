package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// answer is what an HTTP server said.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// newHTTPClient follows no redirects: where one leads is part of the answer.
func newHTTPClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{},
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func request(c *http.Client, method, url, body string) (answer, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	return readAnswer(resp)
}

func readAnswer(resp *http.Response) (answer, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("read body: %w", err)
	}
	return answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// call makes a request that must be answered 200, and decodes the answer into out unless that is nil.
func call(c *http.Client, method, url, body string, out any) error {
	a, err := request(c, method, url, body)
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("%s %s: %d %s", method, url, a.Status, a.Body)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.Body, out); err != nil {
		return fmt.Errorf("%s %s: %w in %s", method, url, err, a.Body)
	}
	return nil
}
