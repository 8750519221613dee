package config

import (
	"bytes"
	_ "embed"
	"strconv"
	"strings"
	"text/template"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/byurl"
)

// Draft is what is known of an installation before there is a configuration of it.
type Draft struct {
	Queues    []DraftQueue // found on the source
	Sentinels []string     // host:port
	Master    string       // what the sentinels call the master
	App       string       // URL
	// Label is what people call the machine of the single server.
	Label string
	// Target is what is known of the managed Redis; nil: there is none yet.
	Target *DraftTarget
}

// DraftQueue is a BullMQ queue.
type DraftQueue struct {
	Name string // prefix:name where the prefix is not bull
	// Scheduled: it has a job scheduler, whose jobs are no orders. It is not to be routed,
	// unless somebody says so.
	Scheduled bool
}

// DraftTarget is a database at a URL, which the file reads from a variable.
type DraftTarget struct {
	Known  string // a known plan; empty: none
	Region string
}

// KnownPlan names the plans that are known, in an error, when that is none of them.
func KnownPlan(name string) error {
	for _, m := range (DraftTarget{Known: name}).mistakes() {
		if m.key == planKey+"known" {
			return migration.Errorf(migration.Invalid, "%s", m.want)
		}
	}
	return nil
}

const planKey = "target.plan."

// mistakes are those of the plan.
func (t DraftTarget) mistakes() mistakes {
	var out mistakes
	s := byurl.Settings{Plan: byurl.Plan{Known: t.Known, Region: t.Region}}
	s.Check("", func(ok bool, key, want string) {
		out.need(ok || !strings.HasPrefix(key, planKey), key, "%s", want)
	})
	return out
}

// Unsaid are the keys of the plan that somebody has to fill in, with what is needed.
func (t DraftTarget) Unsaid() []struct{ Key, Is string } {
	var out []struct{ Key, Is string }
	for _, m := range t.mistakes() {
		key := strings.TrimPrefix(m.key, planKey)
		out = append(out, struct{ Key, Is string }{key, m.want})
	}
	return out
}

// variables are the environment variables that a draft reads its secrets from, and what each is.
func (d Draft) variables() []struct{ Name, Is string } {
	type variable = struct{ Name, Is string }
	out := []variable{
		{"SOURCE_REDIS_URL", "the Redis that the queues are on: redis://user:password@host:port"},
		{"WORKER_TOKEN", "what the app reads its flags and attests with: any long random text"},
		{"INGESTION_TOKEN",
			"what Switchyard reads the app's journal with: any other long random text"},
	}
	if len(d.Sentinels) > 0 {
		out = append(out,
			variable{"REDIS_PASSWORD", "of the data servers of the Sentinel deployment"},
			variable{"SENTINEL_PASSWORD", "of its sentinels"})
	}
	if d.Target != nil {
		out = append(out, variable{"TARGET_REDIS_URL",
			"the managed Redis: rediss://user:password@host:port"})
	}
	return out
}

//go:embed draft.yaml
var draftText string

var draft = template.Must(template.New("draft").Funcs(template.FuncMap{"quote": strconv.Quote}).
	Parse(draftText))

// YAML writes the configuration with comments. Secrets are named, and in no file.
func (d Draft) YAML() ([]byte, error) {
	var out bytes.Buffer
	err := draft.Execute(&out, d)
	return out.Bytes(), err
}

// Env lists the variables that the configuration reads, as lines of a shell without their values.
func (d Draft) Env() []byte {
	var out bytes.Buffer
	for _, v := range d.variables() {
		out.WriteString("# " + v.Is + "\n" + v.Name + "=\n")
	}
	return out.Bytes()
}
