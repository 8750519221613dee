package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// TestBrowserEditsFlags works on flags in a browser, against a server that has nothing but its
// database. See e2e/flags.mjs.
func TestBrowserEditsFlags(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	url, log := serveAlone(t, "redis://127.0.0.1:1")
	walk(ctx, t, log, "flags", url, adaPassword, viewerPassword)
}

const adaPassword, viewerPassword = "ada-path-password", "viewer-path-password"

// serveAlone starts a server that has nothing but its database and a source, and gives its
// address and log.
func serveAlone(t *testing.T, source string) (string, *output) {
	t.Helper()
	dir := t.TempDir()
	binary := buildBinary(t, "")
	addr := freeAddr(t)
	config := filepath.Join(dir, "switchyard.yaml")
	text := fmt.Sprintf(`addr: %s
sync_addr: %s
data_dir: %q
worker_token: worker-token
first_run_users:
  - {name: ada, role: engineer, password: %s}
  - {name: grace, role: viewer, password: %s}
source: {standalone: {url: %q}}
ingestion: {url: "http://127.0.0.1:1"}
`, addr, freeAddr(t), filepath.Join(dir, "data"), adaPassword, viewerPassword, source)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &output{}
	serve := exec.Command(binary, "serve", "--config", config) //nolint:noctx // ended in Cleanup
	serve.Stdout, serve.Stderr = log, log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		if err := serve.Wait(); err != nil {
			t.Errorf("serve: %v\n%s", err, log.String())
		}
	})
	redistest.Eventually(t, 30*time.Second, func() error {
		req, err := http.NewRequestWithContext(
			t.Context(), http.MethodGet, "http://"+addr+"/healthz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	return "http://" + addr, log
}

// walk runs e2e/<name>.mjs with args, and last the folder for its pictures, which are kept to
// be looked at.
func walk(ctx context.Context, t *testing.T, log *output, name string, args ...string) {
	t.Helper()
	pictures := filepath.Join("test-results", strings.TrimSuffix(name, "s")+"-pictures")
	args = append(append([]string{filepath.Join("e2e", name+".mjs")}, args...), pictures)
	node := exec.CommandContext(ctx, "node", args...)
	// The browser ends when its pipe to node does.
	node.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	node.Cancel = func() error { return syscall.Kill(-node.Process.Pid, syscall.SIGKILL) }
	out, err := node.CombinedOutput()
	t.Logf("%s:\n%s", name, out)
	if err != nil {
		t.Errorf("the path: %v; pictures of it are in %s\n%s", err, pictures, log.String())
	}
}

// freeAddr gives an address on loopback that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}
