// Command go-ingestion is an ingestion app in Go that Switchyard can move: it takes a provider's
// webhooks and carries orders out. BullMQ has no library for Go, so a door beside it (door.mjs)
// adds and runs the jobs. Both keep the contract of docs/contract.md at this app's address.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	a, err := fromEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:"+or(os.Getenv("PORT"), "3000"))
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: a.routes(), ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout: 30 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		stopped <- srv.Shutdown(within)
	}()
	fmt.Printf(`{"event":"listening","port":%d}`+"\n", l.Addr().(*net.TCPAddr).Port)
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// app is what the routes share.
type app struct {
	door      *url.URL
	doorToken string // between this program and the door
	token     string // Switchyard's, for /switchyard/*
	secret    string // of the provider's webhooks
	books     books
	client    *http.Client
}

func fromEnvironment(getenv func(string) string) (*app, error) {
	for _, name := range []string{"DATA_DIR", "DOOR_TOKEN", "INGESTION_TOKEN", "WEBHOOK_SECRET"} {
		if getenv(name) == "" {
			return nil, fmt.Errorf("%s is not set", name)
		}
	}
	door, err := url.Parse(or(getenv("DOOR_URL"), "http://127.0.0.1:3001"))
	if err != nil {
		return nil, fmt.Errorf("DOOR_URL: %w", err)
	}
	b, err := open(getenv("DATA_DIR"))
	return &app{
		door:      door,
		doorToken: getenv("DOOR_TOKEN"),
		token:     getenv("INGESTION_TOKEN"),
		secret:    getenv("WEBHOOK_SECRET"),
		books:     b,
		// Longer than the door's own patience with a server, 2.5 s.
		client: &http.Client{Timeout: 5 * time.Second},
	}, err
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// order is what the door adds as a job, and hands back to be carried out.
type order struct {
	ID       string `json:"id"` // names the order, whatever told of it
	Provider string `json:"provider"`
	Event    string `json:"event"` // the provider's id of what told of it
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// fromStripe reads the order of an event, as a webhook or as Stripe's API tells it.
func fromStripe(body []byte) (order, error) {
	var e struct {
		ID   string
		Data struct {
			Object struct {
				ID       string
				Amount   int64 `json:"amount_total"`
				Currency string
			}
		}
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return order{}, fmt.Errorf("the body is no event: %w", err)
	}
	o := e.Data.Object
	if e.ID == "" || o.ID == "" || o.Currency == "" {
		return order{}, errors.New("the event has no id, or its order has no id or currency")
	}
	return order{ID: o.ID, Provider: "stripe", Event: e.ID, Amount: o.Amount,
		Currency: o.Currency}, nil
}
