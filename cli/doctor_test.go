package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/doctor"
	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
)

// The page Set-up of a server says the same of the same database; see workflows.
func TestTheDoctorMissesNoSourceThatWasDisconnectedOnPurpose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "switchyard.yaml")
	if err := os.WriteFile(file, []byte(`addr: 127.0.0.1:0
sync_addr: off
data_dir: "`+dir+`"
worker_token: s3cret
queues: [orders]
source: {standalone: {url: "redis://127.0.0.1:1"}}
ingestion: {url: http://127.0.0.1:1, config_vars: by-hand}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), filepath.Join(dir, "switchyard.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }() // as the server has it open
	now := time.Now()
	if err := st.CreateMigration(t.Context(), migration.Migration{ID: "m", Name: "Orders",
		EventDate: now, CreatedBy: "test", CreatedAt: now}); err != nil {
		t.Fatal(err)
	}
	if err := st.CreateFlagSet(t.Context(), migration.FlagSet{ID: "m", MigrationID: "m",
		CreatedBy: "test", CreatedAt: now}); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[migration.SourceEndpoint]string{
		migration.SourceSentinel: "fails    source.standalone.url: 127.0.0.1:1: Redis unreachable",
		migration.SourceNone: "ok       source.standalone.url: no longer in use: disconnected on " +
			"purpose",
	} {
		if _, err := st.ReviseFlagSet(t.Context(), "m", 0,
			func(_ json.RawMessage, next int64) (json.RawMessage, error) {
				doc := flags.Document{Flags: map[string]flags.Flag{
					migration.FlagSource: flags.SourceFlag(source)}}
				return flags.Revise("m", nil, &doc, next).JSON(), nil
			}, "test", "because", "r1", now); err != nil {
			t.Fatal(err)
		}
		r := run(t.Context(), string(source), nil, "doctor", "--config", file)
		r.want(t, exitFailed, want, "criteria")
		// What is still in use is missed all the same.
		r.want(t, exitFailed, "fails    ingestion.url", "")
	}
}

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
