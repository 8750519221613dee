package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/valyala/fasthttp"
)

// referenceName is the server that every run measures beside ours: the same HTTP
// library, giving the bytes of our answers to whoever asks. It knows no keys, evaluates
// nothing and counts nothing, so what it costs is the network and the library on this
// machine; no server of the protocol can cost less there.
const referenceName = "bare fasthttp"

// recorded is an answer of ours that the reference repeats.
type recorded struct {
	ETag string `json:"etag"`
	Body []byte `json:"body"`
}

// startReference starts this program again as the reference, on the server's core, with
// our answers to the requests that are measured. It ends with ctx.
func startReference(
	ctx context.Context, own target, core, dir string,
) (_ peer, stop func(), err error) {
	answers := map[string]recorded{}
	for _, k := range kinds {
		a, err := send(ctx, "POST", own.url+k.path(own), own.token, "", []byte(orderContext))
		if err != nil {
			return peer{}, nil, err
		}
		if a.status != http.StatusOK {
			return peer{}, nil, fmt.Errorf("%s: %d %s", k.name, a.status, a.body)
		}
		answers[k.path(own)] = recorded{a.etag, a.body}
	}
	text, err := json.Marshal(answers)
	if err != nil {
		return peer{}, nil, err
	}
	file := filepath.Join(dir, "answers.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return peer{}, nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return peer{}, nil, err
	}
	running, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(running, "taskset", "-c", core, program, "-reference", file)
	cmd.Env = append(neutral(os.Environ()), "GOMAXPROCS=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return peer{}, nil, err
	}
	stop = func() { cancel(); _ = cmd.Wait() } // it was told to end
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return peer{}, nil, fmt.Errorf("the reference did not start: %w", err)
	}
	return peer{referenceName, "http://" + strings.TrimSpace(line), cmd.Process.Pid, own.static,
		own.targeted}, stop, nil
}

// serveReference says its address on a line of its own and answers until it is ended.
func serveReference(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var answers map[string]recorded
	if err := json.Unmarshal(text, &answers); err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	s := &fasthttp.Server{Handler: func(c *fasthttp.RequestCtx) {
		a, ok := answers[string(c.Path())]
		if !ok {
			c.SetStatusCode(http.StatusNotFound)
			return
		}
		if a.ETag != "" {
			c.Response.Header.Set("ETag", a.ETag)
		}
		if len(c.Request.Header.Peek("If-None-Match")) > 0 {
			c.SetStatusCode(http.StatusNotModified)
			return
		}
		c.SetContentType("application/json")
		c.Response.SetBodyRaw(a.Body)
	}}
	go func() { <-ctx.Done(); _ = s.Shutdown() }()
	return s.Serve(ln)
}
