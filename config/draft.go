package config

import (
	"bytes"
	_ "embed"
	"strconv"
	"text/template"
)

// Draft is what is known of an installation before there is a configuration of it.
type Draft struct {
	Queues    []string // found on the source, prefix:name where the prefix is not bull
	Sentinels []string // host:port
	Master    string   // what the sentinels call the master
	App       string   // URL
	// Label is what people call the machine of the single server.
	Label string
}

// variables are the environment variables that a draft reads its secrets from, and what each is.
// Those of the Sentinel deployment are last.
var variables = []struct{ Name, Is string }{
	{"SOURCE_REDIS_URL", "the Redis that the queues are on: redis://user:password@host:port"},
	{"WORKER_TOKEN", "what the app reads its flags and attests with: any long random text"},
	{"INGESTION_TOKEN", "what Switchyard reads the app's journal with: any other long random text"},
	{"REDIS_PASSWORD", "of the data servers of the Sentinel deployment"},
	{"SENTINEL_PASSWORD", "of its sentinels"},
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
	for i, v := range variables {
		if i >= 3 && len(d.Sentinels) == 0 {
			break
		}
		out.WriteString("# " + v.Is + "\n" + v.Name + "=\n")
	}
	return out.Bytes()
}
