package discovery_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"

	"github.com/raftlookupd/raftlookupd/discovery"
)

// With go-nsq, newConsumer is nsq.NewConsumer followed by AddHandler, and already nsq.ErrAlreadyConnected;
// docs/discovery.md has the whole program.
func Example() {
	var newConsumer func(topic, channel string) discovery.Consumer
	already := errors.New("already connected")

	d, err := discovery.New(discovery.Config{
		Addresses:        []string{"http://r1:4161", "http://r2:4161", "http://r3:4161"},
		Topic:            "events",
		AlreadyConnected: already,
		Logger:           slog.Default(),
	})
	if err != nil {
		slog.Error("cannot look for producers", "error", err)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	_ = d.Run(ctx, newConsumer("events", "archive")) // it ends with ctx; then stop the consumer
}
