package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/switchyard-dev/switchyard/"

// imports says which of our packages each of our packages may import, besides migration, which everyone may. It is the rule of
// docs/design.md; a package that is missing here fails the test, so that a new one is a decision.
var imports = map[string][]string{
	"migration":               {},
	"plan":                    {},
	"config":                  {},
	"store":                   {},
	"store/pgtest":            {},
	"redisconn":               {},
	"redisconn/redistest":     {"redisconn"},
	"redisconn/rdb":           {},
	"redisconn/pace":          {"redisconn"},
	"redisconn/keycopy":       {"redisconn", "redisconn/rdb", "redisconn/pace"},
	"redisconn/backup":        {"redisconn", "redisconn/keycopy", "redisconn/scratch"},
	"bullmq":                  {"redisconn", "redisconn/pace"},
	"bullmq/bullmqtest":       {"redisconn/redistest"},
	"bullmq/move":             {"bullmq", "redisconn", "redisconn/pace", "redisconn/keycopy"},
	"bullmq/ledger":           {"bullmq", "redisconn"},
	"audit":                   {"bullmq", "redisconn"},
	"scan":                    {"scan/js"},
	"scan/js":                 {},
	"notify":                  {},
	"capacity":                {},
	"redisconn/scratch":       {"redisconn"},
	"drill":                   {"redisconn/scratch"},
	"sentinel":                {"redisconn"},
	"sentinel/deploy":         {},
	"sentinel/deploytest":     {"redisconn", "redisconn/redistest", "sentinel", "sentinel/deploy"},
	"flags":                   {},
	"flagsync":                {"flags", "fleet"},
	"fleet":                   {},
	"providers/httpapi":       {},
	"providers/upstash":       {"providers/httpapi"},
	"providers/linode":        {"providers/httpapi"},
	"providers/heroku":        {"providers/httpapi"},
	"providers/ingestion":     {"providers/httpapi"},
	"providers/ingestiontest": {"providers/ingestion"},
	"providers/providerstest": {},
	"webhooks":                {"providers/httpapi"},
	"webhooks/webhookstest":   {"webhooks"},
	"workflows":               {"audit", "capacity", "plan", "config", "store", "redisconn", "redisconn/pace", "bullmq", "bullmq/move", "bullmq/ledger", "sentinel", "flags", "fleet", "providers/upstash", "providers/linode", "providers/heroku", "providers/ingestion", "providers/httpapi", "redisconn/backup", "webhooks", "drill", "redisconn/scratch", "notify"},
	"api":                     {"workflows", "bullmq", "bullmq/ledger", "flags"},
	"static":                  {},
	"web":                     {"audit", "capacity", "workflows", "bullmq", "bullmq/ledger", "static"},
	"server":                  {"audit", "workflows", "flags", "fleet", "web", "static", "api", "bullmq"},
	"twin":                    {"redisconn", "sentinel", "providers/providerstest", "providers/ingestion", "webhooks", "webhooks/webhookstest"},
	"rehearse":                {"twin", "api", "scan"},
	"bench":                   {"api"},
	"conformance":             {},
	"examples/flags/go-ofrep": {},
	"examples/flags/go-flagd": {},
	"":                        {"audit", "capacity", "plan", "config", "workflows", "flags", "flagsync", "server", "twin", "rehearse", "api", "redisconn", "redisconn/keycopy", "bullmq", "bullmq/ledger", "sentinel", "sentinel/deploy", "scan"},
}

func TestPackagesImportOnlyWhatTheDesignAllows(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	d := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, strings.TrimSuffix(module, "/")), "/")
		allowed, known := imports[name]
		if !known {
			t.Errorf("package %q is not in the table: say what it may import, and why it exists in docs/design.md", name)
			continue
		}
		for _, i := range p.Imports {
			ours, ok := strings.CutPrefix(i, module)
			if ok && ours != "migration" && !slices.Contains(allowed, ours) {
				t.Errorf("%q imports %q, which the design does not allow", name, ours)
			}
		}
	}
}

func TestMigrationVocabularyImportsOnlyTheStandardLibrary(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{join .Deps "\n"}}`, "./migration").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, dep := range strings.Fields(string(out)) {
		first, _, _ := strings.Cut(dep, "/")
		if strings.Contains(first, ".") {
			t.Errorf("migration depends on %s", dep)
		}
	}
}
