package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// typed runs a command at a terminal where these lines are typed.
func typed(ctx context.Context, rule string, vars env, lines []string, args ...string) result {
	var out, errs bytes.Buffer
	next := func() (string, error) {
		if len(lines) == 0 {
			return "", io.EOF
		}
		line := lines[0]
		lines = lines[1:]
		return line + "\n", nil
	}
	s := &shell{ctx, func(k string) string { return vars[k] }, &out, &errs,
		&asker{out: &out, line: next, hidden: next, restore: func() {}}}
	code := runIn(s, args)
	if len(lines) > 0 {
		errs.WriteString("nobody asked for " + strings.Join(lines, ", "))
	}
	return result{rule, code, out.String(), errs.String()}
}

func TestInitAsksForWhatIsNotGivenAndLooksAtEachAddress(t *testing.T) {
	t.Parallel()
	source := redistest.Start(t, redistest.Password("canary-s3cret"))
	admin := source.Client()
	admin.HSet(t.Context(), "bull:orders:meta", "version", "bullmq:5.81.3")
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "app", "on", ">canary-s3cret", "~*", "&*",
		"+@all", "-replicaof").Err(); err != nil {
		t.Fatal(err)
	}
	managed := redistest.Start(t, redistest.Password("canary-s3cret"))
	dir := t.TempDir()
	r := typed(t.Context(), "everything is asked", nil, []string{
		"",                         // no source
		"redis://:canary-s3cret@x", // nobody there
		"redis://app:canary-s3cret@" + source.Addr(),
		"10.0.0.1", "127.0.0.1:1, 127.0.0.1:2", "orders", "canary-s3cret", "", // the Sentinel deployment
		"app.example.com", "http://127.0.0.1:1", // the app
		"redis://:canary-s3cret@" + managed.Addr(), "upstash/fixed-2gb", "upstash/fixed-1gb", "us-east-1",
	}, "init", "--dir", dir)
	for _, says := range []string{
		"fails    source.standalone.url: ",
		"source.standalone.url: " + source.Addr() + ": Redis 7", ", no TLS, maxmemory-policy noeviction",
		"next: On the server: ACL SETUSER app +replicaof",
		`"10.0.0.1" is not host:port`, "What they call the master [mymaster]: ",
		"fails    source.sentinel: ",
		"an http(s) URL without credentials is needed", "fails    ingestion.url: ",
		"fails    target.url: TLS is on: off", "have its owner switch TLS on",
		`"upstash/fixed-2gb" is none of the known plans: upstash/pay-as-you-go`,
		"switchyard.yaml: 1 BullMQ queue",
		"names what is missing",
	} {
		r.want(t, 0, says, "")
	}
	r.hides(t, "canary-s3cret")
	text, err := os.ReadFile(filepath.Join(dir, "switchyard.yaml"))
	if err != nil || strings.Contains(string(text), "canary") {
		t.Fatalf("%v\n%s", err, text)
	}
	names, err := os.ReadFile(filepath.Join(dir, ".env.example"))
	if err != nil || !strings.Contains(string(names), "\nTARGET_REDIS_URL=\n") {
		t.Errorf("%v\n%s", err, names)
	}
	// What the vendor does not document is all that is left to fill in.
	vars := env{"SOURCE_REDIS_URL": "redis://x", "TARGET_REDIS_URL": "rediss://y", "WORKER_TOKEN": "a",
		"INGESTION_TOKEN": "b", "REDIS_PASSWORD": "c", "SENTINEL_PASSWORD": "d"}
	file := filepath.Join(dir, "switchyard.yaml")
	check := run(t.Context(), "left", vars, "config", "check", file)
	check.want(t, exitUsage, "", "has 1 mistake:\n- target.plan.max_connections: is needed: Upstash does not")
	filled := strings.Replace(string(text), "max_connections:", "max_connections: 1000", 1)
	if err := os.WriteFile(file, []byte(filled), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, func(name string) string { return vars[name] })
	if err != nil {
		t.Fatal(err)
	}
	s := c.Source.Sentinel
	if strings.Join(s.Addrs, " ") != "127.0.0.1:1 127.0.0.1:2" || s.Master != "orders" ||
		c.Ingestion.URL != "http://127.0.0.1:1" || c.Target.Plan.Known != "upstash/fixed-1gb" {
		t.Errorf("%+v", c)
	}
}

func TestInitAsksOnlyWhatItHasTo(t *testing.T) {
	t.Parallel()
	source := redistest.Start(t)
	vars := env{"SOURCE_REDIS_URL": "redis://" + source.Addr()}
	flags := func(more ...string) []string {
		return append([]string{"init", "--dir", t.TempDir()}, more...)
	}
	r := typed(t.Context(), "the defaults", vars, []string{"", "", ""}, flags()...)
	r.want(t, 0, "URL of the app [http://127.0.0.1:3000]: ", "")
	r.want(t, 0, "Managed Redis, rediss://user:password@host:port; empty: later (not shown): ", "")
	r = typed(t.Context(), "the app is given", vars, []string{"", ""},
		flags("--app", "http://127.0.0.1:1")...)
	r.want(t, 0, "0 BullMQ queues", "")
	r = typed(t.Context(), "no plan that is known", vars, []string{"", "rediss://127.0.0.1:1", "", ""},
		flags("--app", "http://127.0.0.1:1")...)
	r.want(t, 0, "fill in target.plan", "")

	r = typed(t.Context(), "no input", vars, nil, flags("--no-input")...)
	r.want(t, 0, "0 BullMQ queues", "")
	if strings.Contains(r.out, "source.standalone.url") {
		t.Errorf("it looked: %s", r.out)
	}
	empty := t.TempDir()
	typed(t.Context(), "no input, and no source", nil, nil, "init", "--dir", empty, "--no-input").
		want(t, exitUsage, "", "in SOURCE_REDIS_URL")
	typed(t.Context(), "the input ends", nil, nil, "init", "--dir", empty).
		want(t, exitUsage, "", "there was no answer; nothing was written")
	typed(t.Context(), "nobody at the address that was given", env{"SOURCE_REDIS_URL": "redis://127.0.0.1:1"},
		[]string{"", ""}, "init", "--dir", empty, "--app", "http://127.0.0.1:1").want(t, exitFailed, "", "nothing was written")
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	// Nobody answers questions for nothing.
	if err := os.WriteFile(filepath.Join(empty, ".env.example"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	typed(t.Context(), "a file is there", nil, nil, "init", "--dir", empty).
		want(t, exitFailed, "", "is there already; nothing was written")
}

func TestAQuestionThatIsInterruptedLeavesTheTerminalAsItWas(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	restored, asked := false, make(chan struct{})
	never := func() (string, error) { close(asked); select {} }
	a := &asker{out: io.Discard, line: never, hidden: never, restore: func() { restored = true }}
	go func() { <-asked; cancel() }()
	if _, err := a.askSecret(ctx, "?"); !errors.Is(err, context.Canceled) || !restored {
		t.Errorf("%v, restored: %v", err, restored)
	}
}
