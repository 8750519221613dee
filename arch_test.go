package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/switchyard-dev/switchyard/"

// imports says which of our packages each of our packages may import, besides migration, which
// everyone may. It is the rule of docs/design.md; a package that is missing here fails the test,
// so that a new one is a decision.
var imports = map[string][]string{
	"":                  {"cli"},
	"api":               {"bullmq", "bullmq/ledger", "flags", "fleet", "workflows", "workflows/evidence"},
	"api/openapi":       {"api"},
	"audit":             {"bullmq", "redisconn"},
	"bench":             {"api"},
	"bullmq":            {"redisconn", "redisconn/pace"},
	"bullmq/bullmqtest": {"redisconn/redistest"},
	"bullmq/ledger":     {"bullmq", "redisconn"},
	"bullmq/move":       {"bullmq", "redisconn", "redisconn/keycopy", "redisconn/pace"},
	"capacity":          {},
	"cli": {
		"api", "audit", "bullmq", "bullmq/ledger", "capacity", "config", "conform", "daemon",
		"docs/contract", "doctor",
		"flags", "plan", "redisconn", "redisconn/keycopy", "rehearse", "scan", "sentinel",
		"sentinel/deploy", "twin", "workflows", "workflows/evidence",
	},
	"config": {
		"providers", "providers/byhand", "providers/byurl", "providers/heroku",
		"providers/linode", "providers/upstash", "redisconn",
	},
	"conform":     {"bullmq/ledger", "docs/contract"},
	"conformance": {},
	"daemon":      {"config", "flagsync", "redisconn", "server", "server/tracing", "workflows"},
	"doctor": {
		"bullmq", "config", "providers", "providers/byhand", "providers/ingestion", "redisconn",
		"sentinel", "webhooks", "workflows/alarm", "workflows/evidence",
	},
	"docs/contract":           {},
	"docs/runbooks":           {},
	"drill":                   {"redisconn/scratch"},
	"e2e":                     {},
	"examples/flags/go-flagd": {},
	"examples/flags/go-ofrep": {},
	"examples/go-ingestion":   {},
	"flags":                   {},
	"flagsync":                {"flags", "fleet"},
	"fleet":                   {"workflows/evidence"},
	"migration":               {},
	"notify":                  {},
	"plan":                    {"workflows/evidence"},
	"providers":               {},
	"providers/byhand":        {"providers", "providers/silence"},
	"providers/byurl":         {"providers", "redisconn"},
	"providers/heroku":        {"providers", "providers/httpapi"},
	"providers/httpapi":       {},
	"providers/ingestion":     {"providers/httpapi"},
	"providers/ingestiontest": {"providers/ingestion"},
	"providers/linode":        {"providers", "providers/httpapi"},
	"providers/providerstest": {},
	"providers/silence":       {},
	"providers/upstash":       {"providers", "providers/httpapi"},
	"redisconn":               {},
	"redisconn/backup": {
		"redisconn", "redisconn/keycopy", "redisconn/scratch", "workflows/evidence",
	},
	"redisconn/keycopy":   {"redisconn", "redisconn/pace", "redisconn/rdb"},
	"redisconn/pace":      {"redisconn"},
	"redisconn/rdb":       {},
	"redisconn/redistest": {"redisconn"},
	"redisconn/scratch":   {"redisconn"},
	"rehearse":            {"api", "scan", "twin", "workflows/evidence"},
	"scan":                {"scan/js", "workflows/evidence"},
	"scan/js":             {},
	"scripts/measure":     {},
	"scripts/mutants":     {},
	"sentinel":            {"redisconn"},
	"sentinel/deploy":     {},
	"sentinel/deploytest": {"redisconn", "redisconn/redistest", "sentinel", "sentinel/deploy"},
	"series":              {},
	"server": {
		"api", "audit", "bullmq", "docs/runbooks", "server/flagadmin", "server/live",
		"server/ofrep", "server/site",
		"server/tracing", "static", "web/adminpages", "web/charts", "web/migrationpages",
		"web/outagepages", "web/queuepages", "web/ui", "workflows", "workflows/evidence",
	},
	"server/flagadmin":  {"api", "flags", "server/site", "web/flagpages", "web/ui"},
	"server/live":       {},
	"server/ofrep":      {"flags", "fleet", "server/live", "server/site", "workflows"},
	"server/servertest": {"flags"},
	"server/site":       {"api", "server/live", "static", "web/ui", "workflows"},
	"server/tracing":    {},
	"static":            {},
	"store":             {"workflows/evidence"},
	"store/pgtest":      {},
	"twin": {
		"providers/ingestion", "providers/providerstest", "redisconn", "sentinel",
		"webhooks", "webhooks/webhookstest",
	},
	"web/adminpages": {"capacity", "docs/runbooks", "web/charts", "web/ui", "workflows"},
	"web/charts":     {"series", "static", "web/ui", "workflows"},
	"web/flagpages":  {"web/ui"},
	"web/migrationpages": {
		"audit", "docs/runbooks", "web/charts", "web/ui", "workflows", "workflows/evidence",
	},
	"web/outagepages":       {"web/ui", "workflows", "workflows/evidence"},
	"web/queuepages":        {"bullmq", "bullmq/ledger", "web/charts", "web/ui", "workflows"},
	"web/storybook":         {},
	"web/ui":                {"static"},
	"webhooks":              {"providers/httpapi"},
	"webhooks/webhookstest": {"webhooks"},
	"workflows": {
		"audit", "bullmq", "bullmq/ledger", "config", "doctor", "flags", "fleet", "notify",
		"plan", "providers", "redisconn", "series", "store", "webhooks", "workflows/alarm", "workflows/costs",
		"workflows/cutoverreport", "workflows/engine", "workflows/environment",
		"workflows/digest", "workflows/evidence", "workflows/forecast", "workflows/outage",
		"workflows/progress",
		"workflows/report",
		"workflows/steps",
		"workflows/steps/audit", "workflows/steps/breaker", "workflows/steps/provision",
	},
	"workflows/alarm": {
		"capacity", "config", "docs/runbooks", "notify", "store", "webhooks",
		"workflows/costs", "workflows/digest", "workflows/environment", "workflows/evidence",
		"workflows/outage", "workflows/progress", "workflows/report",
	},
	"workflows/costs": {
		"capacity", "config", "providers", "workflows/environment",
	},
	"workflows/cutoverreport": {
		"bullmq", "redisconn", "workflows/environment", "workflows/progress",
	},
	"workflows/digest": {"workflows/forecast", "workflows/progress", "workflows/report"},
	"workflows/engine": {"store", "workflows/evidence", "workflows/progress"},
	"workflows/environment": {
		"audit", "bullmq", "bullmq/ledger", "capacity", "config", "flags", "fleet",
		"providers", "providers/ingestion", "providers/silence", "redisconn",
		"sentinel", "series", "store", "workflows/engine", "workflows/evidence",
		"workflows/progress",
	},
	"workflows/evidence":              {},
	"workflows/evidence/evidencetest": {"workflows/evidence"},
	"workflows/outage": {
		"bullmq/ledger", "config", "webhooks", "workflows/environment",
		"workflows/evidence",
	},
	"workflows/forecast": {},
	"workflows/progress": {"workflows/evidence"},
	"workflows/report": {
		"workflows/costs", "workflows/evidence", "workflows/forecast", "workflows/progress",
	},
	"workflows/steps": {
		"config", "store", "workflows/engine", "workflows/environment",
		"workflows/evidence", "workflows/steps/audit", "workflows/steps/breaker",
		"workflows/steps/cutover", "workflows/steps/decommission",
		"workflows/steps/dualwrite", "workflows/steps/movequeues",
		"workflows/steps/provision", "workflows/steps/residue",
		"workflows/steps/sentinelmove", "workflows/steps/sentineltest",
		"workflows/steps/webhookretry",
	},
	"workflows/steps/audit": {
		"audit", "redisconn", "workflows/engine", "workflows/environment",
		"workflows/evidence", "workflows/progress",
	},
	"workflows/steps/breaker": {
		"config", "drill", "providers/httpapi", "redisconn", "redisconn/scratch",
		"webhooks", "workflows/engine", "workflows/environment", "workflows/evidence",
		"workflows/progress",
	},
	"workflows/steps/cutover": {
		"bullmq/ledger",
		"workflows/engine", "workflows/environment", "workflows/evidence",
		"workflows/progress",
	},
	"workflows/steps/decommission": {
		"providers", "redisconn", "redisconn/backup", "sentinel",
		"workflows/engine", "workflows/environment", "workflows/evidence",
		"workflows/progress",
	},
	"workflows/steps/dualwrite": {
		"bullmq/ledger",
		"workflows/engine", "workflows/environment", "workflows/evidence",
		"workflows/progress",
	},
	"workflows/steps/movequeues": {
		"bullmq", "bullmq/move", "config", "redisconn/pace", "workflows/engine",
		"workflows/environment", "workflows/evidence", "workflows/progress",
	},
	"workflows/steps/provision": {
		"bullmq", "capacity", "providers", "redisconn", "workflows/engine",
		"workflows/environment", "workflows/evidence",
		"workflows/progress",
	},
	"workflows/steps/residue": {
		"bullmq", "config", "redisconn/pace", "workflows/engine", "workflows/environment",
		"workflows/evidence", "workflows/progress",
	},
	"workflows/steps/sentinelmove": {
		"bullmq", "redisconn", "sentinel", "workflows/engine", "workflows/environment",
		"workflows/progress",
	},
	"workflows/steps/sentineltest": {
		"bullmq/ledger", "redisconn", "sentinel", "workflows/engine", "workflows/environment",
		"workflows/evidence", "workflows/progress",
	},
	"workflows/steps/stepstest": {
		"config", "flags", "fleet", "providers/providerstest", "providers/upstash",
		"redisconn/redistest", "store", "workflows/engine", "workflows/environment",
		"workflows/progress",
	},
	"workflows/steps/webhookretry": {
		"bullmq/ledger", "webhooks", "workflows/engine",
		"workflows/environment", "workflows/evidence", "workflows/progress",
	},
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

// Another managed Redis, another host: a package of providers and a key of config know it, and
// nothing of workflows. The stepstest are tests.
// noService lists what lies below providers and is no service: the app, what all share.
var noService = map[string]bool{
	"providers/httpapi": true, "providers/ingestion": true, "providers/silence": true,
}

func TestWorkflowsKnowNoServiceByName(t *testing.T) {
	t.Parallel()
	for name, allowed := range imports {
		if name == "workflows/steps/stepstest" || !strings.HasPrefix(name, "workflows") {
			continue
		}
		for _, i := range allowed {
			if strings.HasPrefix(i, "providers/") && !noService[i] {
				t.Errorf("%q may import %q: it is handed an interface of providers", name, i)
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

func TestAStepTouchesNoOtherStepAndTheEngineNoStepAndNoServer(t *testing.T) {
	t.Parallel()
	for name, allowed := range imports {
		for _, i := range allowed {
			isStep := strings.HasPrefix(i, "workflows/steps/")
			switch {
			case strings.HasPrefix(name, "workflows/steps/") && (isStep || i == "workflows"):
				t.Errorf("%q may import %q: a step is handed what it needs", name, i)
			case name == "workflows/engine" && (isStep || i == "workflows/environment"):
				t.Errorf("the engine may import %q: it knows no server and no step", i)
			}
		}
	}
}

// A lock file names versions and what they must hash to, and leaves to whoever installs where they
// come from. Lighthouse is no workspace: only `make lighthouse` installs it.
func TestLockFilesNameNoRegistry(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "git", "ls-files", "*package-lock.json").Output()
	if err != nil {
		t.Skipf("not a clone: %v", err)
	}
	for _, file := range strings.Fields(string(out)) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `"resolved": "http`) {
			t.Errorf("%s names registries: npm install --omit-lockfile-registry-resolved", file)
		}
		ours := strings.Contains(file, "lighthouse")
		if has := strings.Contains(string(text), `"node_modules/lighthouse"`); has != ours {
			t.Errorf("%s has lighthouse: %v", file, has)
		}
	}
}

// A gate is made by a claim, which says whom it covers: whoever writes the fields of one by
// hand can leave out who was not asked.
func TestOnlyAClaimMakesAGate(t *testing.T) {
	t.Parallel()
	byHand := regexp.MustCompile(`[^\]]\b(migration\.Gate|Check)\{(ID|\s*OK)|` +
		`[^\]]\bmigration\.Gate\{[^}]|\[\]migration\.Gate\{\s*\{`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return cmp.Or(err, fs.SkipDir)
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if found := byHand.Find(source); found != nil {
			t.Errorf("%s writes %q: let a migration.Claim make the gate", path, found)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
