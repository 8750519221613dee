package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/open-feature/go-sdk-contrib/providers/flagd/pkg"
	"github.com/open-feature/go-sdk-contrib/providers/ofrep"
	"github.com/open-feature/go-sdk/openfeature"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// question is one evaluation that is asked for.
type question struct {
	Op      string         `json:"op"`
	Flag    string         `json:"flag"`
	Type    string         `json:"type"` // boolean, string, number, object
	Default any            `json:"default"`
	Context map[string]any `json:"context"`
}

// answer is what the client gave.
type answer struct {
	Value        any    `json:"value"`
	Reason       string `json:"reason"`
	Variant      string `json:"variant"`
	ErrorCode    string `json:"errorCode"`
	ErrorMessage string `json:"errorMessage"`
}

// client is one of the official clients, at work.
type client func(question) answer

// kind is an official client.
type kind struct {
	name   string
	caches bool // goes on with the last values while the server is away
	start  func(t *testing.T, addr, syncAddr string) client
}

var kinds = []kind{
	{"go ofrep", false, goOFREP},
	{"go flagd in-process", true, goFlagd},
	{"node ofrep-provider", false, node("ofrep.mjs")},
	{"node ofrep-web-provider", true, node("web.mjs")},
	{"node flagd-provider in-process", true, node("flagd.mjs")},
}

func goOFREP(t *testing.T, addr, _ string) client {
	return openFeature(t, ofrep.NewProvider("http://"+addr, ofrep.WithBearerToken(token)))
}

func goFlagd(t *testing.T, _, syncAddr string) client {
	t.Helper()
	host, portText, err := net.SplitHostPort(syncAddr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	p, err := flagd.NewProvider(flagd.WithInProcessResolver(), flagd.WithHost(host),
		flagd.WithPort(uint16(port)), flagd.WithRetryBackoffMaxMs(500),
		flagd.WithGrpcDialOptionsOverride([]grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithPerRPCCredentials(bearer(token)),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: backoff.DefaultConfig.BaseDelay, Multiplier: 1, MaxDelay: backoff.DefaultConfig.BaseDelay}}),
		}))
	if err != nil {
		t.Fatal(err)
	}
	return openFeature(t, p)
}

// bearer sends a key with each call.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return false }

// openFeature asks a provider through the Go SDK, as an application does.
func openFeature(t *testing.T, p openfeature.FeatureProvider) client {
	t.Helper()
	domain := t.Name() + fmt.Sprintf("%p", p)
	// does not wait: the server may be away
	if err := openfeature.SetNamedProvider(domain, p); err != nil {
		t.Fatal(err)
	}
	if s, ok := p.(interface{ Shutdown() }); ok {
		t.Cleanup(s.Shutdown)
	}
	c := openfeature.NewClient(domain)
	return func(q question) answer {
		key, _ := q.Context["targetingKey"].(string)
		at := openfeature.NewEvaluationContext(key, q.Context)
		switch q.Type {
		case "boolean":
			// the details say it
			d, _ := c.BooleanValueDetails(t.Context(), q.Flag, q.Default.(bool), at)
			return answered(d.Value, d.EvaluationDetails)
		case "string":
			d, _ := c.StringValueDetails(t.Context(), q.Flag, q.Default.(string), at)
			return answered(d.Value, d.EvaluationDetails)
		case "number":
			d, _ := c.IntValueDetails(t.Context(), q.Flag, int64(q.Default.(int)), at)
			return answered(float64(d.Value), d.EvaluationDetails)
		default:
			d, _ := c.ObjectValueDetails(t.Context(), q.Flag, q.Default, at)
			return answered(d.Value, d.EvaluationDetails)
		}
	}
}

func answered(value any, d openfeature.EvaluationDetails) answer {
	return answer{value, string(d.Reason), d.Variant, string(d.ErrorCode), d.ErrorMessage}
}

// node runs a script of clients/, which answers a line with a line.
func node(script string) func(t *testing.T, addr, syncAddr string) client {
	return func(t *testing.T, addr, syncAddr string) client {
		t.Helper()
		cmd := exec.Command("node", script) //nolint:noctx // ends with its input
		cmd.Dir = "clients"
		cmd.Env = append(os.Environ(), "SWITCHYARD_URL=http://"+addr,
			"SWITCHYARD_SYNC_ADDR="+syncAddr, "SWITCHYARD_TOKEN="+token)
		log := &output{}
		cmd.Stderr = log
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatalf("node: %v; npm ci at the root installs the clients", err)
		}
		t.Cleanup(func() {
			_ = in.Close()
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if t.Failed() {
				t.Logf("what %s said:\n%s", script, log)
			}
		})
		ask, answers := json.NewEncoder(in), bufio.NewScanner(out)
		return func(q question) answer {
			if err := ask.Encode(q); err != nil {
				t.Fatalf("%s: %v\n%s", script, err, log)
			}
			if !answers.Scan() {
				t.Fatalf("%s ended\n%s", script, log)
			}
			var a answer
			if err := json.Unmarshal(answers.Bytes(), &a); err != nil {
				t.Fatalf("%s answered %q", script, answers.Text())
			}
			return a
		}
	}
}
