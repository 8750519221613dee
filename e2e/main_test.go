// Package e2e works through whole migrations with the program as people run it: unattended, and
// in a browser.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// binaries is the folder of what buildBinary built, and plain builds the program as people run
// it, once for all tests.
var (
	binaries string
	plain    = sync.OnceValues(func() (string, error) { return build("") })
)

// TestMain works from the root of the repository, as people do: the program finds the example
// app there by default.
func TestMain(m *testing.M) {
	if err := os.Chdir(".."); err != nil {
		panic(err)
	}
	var err error
	if binaries, err = os.MkdirTemp("", "switchyard-test-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(binaries)
	os.Exit(code)
}

func build(tags string) (string, error) {
	binary := filepath.Join(binaries, "switchyard"+tags)
	//nolint:noctx // for all tests, not for one
	cmd := exec.Command("go", "build", "-tags", tags, "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// buildBinary gives switchyard as people run it, or a variant that tags choose.
func buildBinary(t *testing.T, tags string) string {
	t.Helper()
	if _, err := os.Stat("examples/ingestion/dist/main.js"); err != nil {
		t.Fatal("the ingestion app is not built: run make node first")
	}
	built := plain
	if tags != "" {
		built = func() (string, error) { return build(tags) }
	}
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}
