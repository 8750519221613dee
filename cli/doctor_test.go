package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/switchyard-dev/switchyard/doctor"
)

func TestWhatIsMissingIsToldForEachCriterion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "switchyard.yaml")
	if err := os.WriteFile(file, []byte(`addr: 127.0.0.1:0
sync_addr: off
data_dir: "`+dir+`"
worker_token: canary-s3cret
source: {standalone: {url: "redis://:canary-s3cret@127.0.0.1:1"}}
ingestion: {url: http://127.0.0.1:1, config_vars: by-hand}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t.Context(), "nobody answers", nil, "doctor", "--config", file)
	r.want(t, exitFailed, "fails    source.standalone.url: 127.0.0.1:1: Redis unreachable",
		"something is missing for 7 of 7 criteria")
	r.want(t, exitFailed, "sentinel-failover      see source.standalone.url, source.sentinel\n", "")
	r.want(t, exitFailed, "ok       data_dir: ", "")
	r.want(t, exitFailed, "absent   stripe.key: ", "")
	r.want(t, exitFailed, "absent   notifications: nobody is told", "")
	r.hides(t, "canary-s3cret")

	r = run(t.Context(), "as JSON", nil, "doctor", "--config", file, "--json")
	var got examination
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != exitFailed {
		t.Fatalf("exit %d, %v\n%s", r.code, err, r.out)
	}
	if len(got.Missing) != 7 || len(got.Findings) < 8 || got.Findings[0].State != doctor.OK {
		t.Errorf("%+v", got)
	}
	r.hides(t, "canary-s3cret")

	run(t.Context(), "no file", nil, "doctor", "--config", filepath.Join(dir, "none")).
		want(t, exitUsage, "", "config file")
}
