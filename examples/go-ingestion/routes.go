package main

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"

	"github.com/stripe/stripe-go/v85/webhook"
)

const maxBody = 1 << 20

// routes are the webhooks, what Switchyard asks of this program, and what it asks of the door.
func (a *app) routes() http.Handler {
	door := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(a.door) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			unavailable(w)
		},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks/stripe", a.webhook)
	mux.Handle("POST /switchyard/replay", a.with(a.token, a.replay))
	mux.Handle("POST /apply", a.with(a.doorToken, a.apply))
	// The journal is the door's, and so is everything that knows of Redis. It asks for the token
	// itself. A canary comes this way too: through this program, as an order does.
	mux.Handle("/switchyard/", door)
	// Without the door no order can be taken.
	mux.Handle("GET /healthz", door)
	mux.Handle("GET /readyz", door)
	return mux
}

// with lets in who has the token.
func (a *app) with(token string, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := []byte(r.Header.Get("Authorization"))
		if subtle.ConstantTimeCompare(given, []byte("Bearer "+token)) != 1 {
			answer(w, http.StatusUnauthorized, "a bearer token is required")
			return
		}
		next(w, r)
	})
}

func (a *app) webhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = webhook.ValidatePayload(body, r.Header.Get("Stripe-Signature"), a.secret)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, err.Error())
		return
	}
	a.take(r.Context(), w, body)
}

// replay takes in what Stripe's API tells of an event that it could not deliver.
func (a *app) replay(w http.ResponseWriter, r *http.Request) {
	if id := r.URL.Query().Get("provider"); id != "stripe" {
		answer(w, http.StatusUnprocessableEntity, "this app takes nothing from "+id)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		answer(w, http.StatusBadRequest, err.Error())
		return
	}
	a.take(r.Context(), w, body)
}

// take answers 200 once the door says that the order's job is there, and never before.
func (a *app) take(ctx context.Context, w http.ResponseWriter, body []byte) {
	o, err := fromStripe(body)
	if err != nil {
		answer(w, http.StatusBadRequest, err.Error())
		return
	}
	if err := a.enqueue(ctx, o); err != nil {
		unavailable(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"received":true}`)
}

// enqueue hands an order to the door. After an error it may be there or not: the provider
// delivers it again, and the job's id makes one job of both.
func (a *app) enqueue(ctx context.Context, o order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		a.door.JoinPath("orders").String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.doorToken)
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the door answers %d", resp.StatusCode)
	}
	return nil
}

// apply carries out the order of a job that runs. The job is tried again unless this says 200.
func (a *app) apply(w http.ResponseWriter, r *http.Request) {
	var o order
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&o)
	if err == nil {
		err = a.books.enter(o)
	}
	if err != nil {
		answer(w, http.StatusInternalServerError, err.Error())
	}
}

// unavailable has the sender deliver again.
func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	answer(w, http.StatusServiceUnavailable, "it is not certain that the order is enqueued")
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text})
}
