package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// healthURL is asked when healthcheck is given none: an image of scratch has no other program that
// could ask.
const healthURL = "http://127.0.0.1:4161/readyz"

// healthcheck asks a replica whether it is ready.
func healthcheck(args []string) error {
	url := healthURL
	if len(args) > 0 {
		url = args[0]
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("healthcheck: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("healthcheck: %w", err)
	}
	if err := resp.Body.Close(); err != nil {
		return fmt.Errorf("healthcheck: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("healthcheck: %s answers %s", url, resp.Status)
	}
	return nil
}
