// Command bench measures what flags cost a server that runs as in production: `make
// bench` builds bin/switchyard and runs it. The server has one core to itself, with
// authentication, metrics and tracing on; the load comes from the other core. Every
// figure is of the whole process, network included, so it can be held against other
// servers of the protocol.
//
// Beside it runs a reference: the same HTTP library repeating our answers. What that
// costs is this machine's network; the rest is ours.
//
// Peers are measured with the same requests when SWITCHYARD_BENCH_PEERS names them, as
// name=url,pid and separated by semicolons. They must run already, on the server's
// core, and hold the flags of test-results/bench-flags.json, which every run writes;
// for other flags SWITCHYARD_BENCH_PEER_FLAGS says static,targeted: the keys of one
// without and one with targeting.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM,
		syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// settings are how thorough a run is, and on which cores.
type settings struct {
	binary                 string
	out                    string // folder of the results
	seconds, warmUp        int    // of each row
	subscribers            int
	serverCore, clientCore string
	peers                  []peer
}

func run(
	ctx context.Context, args []string, getenv func(string) string, stdout io.Writer,
) error {
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	s := settings{seconds: 10, warmUp: 2, subscribers: 10_000}
	quick := set.Bool("quick", false, "rows of 2 s and 1,000 subscribers")
	set.StringVar(&s.binary, "binary", "bin/switchyard", "the program to measure")
	set.StringVar(&s.out, "out", "test-results", "folder for bench.json and bench-flags.json")
	reference := set.String("reference", "",
		"be the reference, which repeats the answers in this file (a run starts it by itself)")
	if err := set.Parse(args); err != nil {
		return err
	}
	if *reference != "" {
		return serveReference(ctx, *reference)
	}
	if *quick {
		s.seconds, s.warmUp, s.subscribers = 2, 1, 1000
	}
	var err error
	if s.peers, err = parsePeers(getenv("SWITCHYARD_BENCH_PEERS"),
		getenv("SWITCHYARD_BENCH_PEER_FLAGS")); err != nil {
		return err
	}
	if s.serverCore, s.clientCore, err = cores(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.out, 0o750); err != nil {
		return err
	}
	// Whatever is started from here, wrk above all, stays off the server's core.
	if text, err := exec.CommandContext(ctx, "taskset", "-apc", s.clientCore,
		strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
		return fmt.Errorf("taskset: %w: %s", err, text)
	}
	r := report{
		At:         time.Now().UTC(),
		Seconds:    s.seconds,
		ServerCore: s.serverCore,
		ClientCore: s.clientCore,
	}
	if err := s.measure(ctx, &r); err != nil {
		return err
	}
	if err := r.print(stdout); err != nil {
		return err
	}
	return r.write(filepath.Join(s.out, "bench.json"))
}

// measure starts a server for each part, so that the memory of one part is not counted
// in the next.
func (s settings) measure(ctx context.Context, r *report) error {
	parts := []func(context.Context, *server, *report) error{s.rows,
		func(ctx context.Context, srv *server, r *report) error {
			return s.fanOut(ctx, srv, r, "SSE", openSSE)
		},
		func(ctx context.Context, srv *server, r *report) error {
			return s.fanOut(ctx, srv, r, "gRPC SyncFlags", openSync)
		}}
	for _, part := range parts {
		srv, err := startServer(ctx, s.binary, s.serverCore)
		if err != nil {
			return err
		}
		err = part(ctx, srv, r)
		r.Spans += srv.sink.requests.Load()
		if err != nil {
			err = srv.explain(cmp.Or(context.Cause(ctx), err))
		}
		if err = errors.Join(err, srv.stop()); err != nil {
			return err
		}
	}
	return nil
}

// cores gives the first two cores that this process may use: the server's and everybody
// else's.
func cores() (server, client string, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "", "",
			migration.Errorf(migration.Invalid, "the measurement needs Linux: %w", err)
	}
	_, rest, _ := strings.Cut(string(status), "Cpus_allowed_list:")
	line, _, _ := strings.Cut(rest, "\n")
	all := coreList(strings.TrimSpace(line))
	if len(all) < 2 {
		return "", "", migration.Errorf(migration.Invalid, "the measurement needs two cores, "+
			"one for the server and one for the load; this process may use %d (%q)",
			len(all), line)
	}
	return strconv.Itoa(all[0]), strconv.Itoa(all[1]), nil
}

// coreList reads the kernel's form of a list, such as 0-3,8.
func coreList(text string) []int {
	var all []int
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil {
			continue
		}
		for i := from; i <= to; i++ {
			all = append(all, i)
		}
	}
	return all
}

// peer is another server of the protocol to compare with.
type peer struct {
	name, url        string
	pid              int
	static, targeted string // keys of its flags
}

func parsePeers(list, keys string) ([]peer, error) {
	static, targeted := staticFlag, targetedFlag
	if keys != "" {
		var ok bool
		if static, targeted, ok = strings.Cut(keys, ","); !ok {
			return nil, migration.Errorf(migration.Invalid,
				"SWITCHYARD_BENCH_PEER_FLAGS is %q: give two keys, static,targeted", keys)
		}
	}
	var peers []peer
	for text := range strings.SplitSeq(list, ";") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		name, rest, _ := strings.Cut(text, "=")
		url, id, _ := strings.Cut(rest, ",")
		pid, err := strconv.Atoi(id)
		if err != nil || name == "" || !strings.HasPrefix(url, "http://") {
			return nil, migration.Errorf(migration.Invalid,
				"SWITCHYARD_BENCH_PEERS has %q: give name=http://host:port,pid", text)
		}
		peers = append(peers, peer{name, strings.TrimRight(url, "/"), pid, static, targeted})
	}
	return peers, nil
}
