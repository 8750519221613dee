package provision

import (
	"embed"
	"encoding/json"
	"strings"
	"text/template"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/upstash"
)

//go:embed export/*.tmpl
var exportFiles embed.FS

// exports are the templates by format, with the name of the file that comes of each.
var exports = map[string]struct{ template, file string }{
	"terraform": {"managed.tf.tmpl", "managed-redis.tf"},
	"helm":      {"values.yaml.tmpl", "managed-redis-values.yaml"},
}

var exportTemplates = template.Must(
	template.New("").
		Funcs(template.FuncMap{"hcl": hclString, "yaml": yamlString}).
		ParseFS(exportFiles, "export/*.tmpl"),
)

// Export is a file for those who apply their changes by themselves. It holds no secret.
type Export struct {
	Format string `json:"format" enum:"terraform,helm"`
	File   string `json:"file"` // name to save it as
	Text   string `json:"text"`
}

// hclString quotes a string for Terraform, where ${ and %{ begin a template.
func hclString(s string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(yamlString(s))
}

// yamlString quotes a string as JSON does, which YAML takes too.
func yamlString(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// ExportFor writes what the step would bring about as Terraform, or as values for Helm. An
// unknown format is Invalid.
func ExportFor(format, name string, target config.Upstash, app string) (Export, error) {
	e, ok := exports[format]
	if !ok {
		return Export{}, migration.Errorf(
			migration.Invalid,
			"there is no format %.20q: terraform and helm are",
			format,
		)
	}
	var b strings.Builder
	err := exportTemplates.ExecuteTemplate(&b, e.template, map[string]any{
		"Migration": strings.Join(
			strings.Fields(name),
			" ",
		), "Database": wantedDatabase(target), "Plan": wantedPlan,
		"PricedAt": upstash.PricedAt, "App": app, "Var": targetVar, "Secret": "managed-redis",
	})
	return Export{format, e.file, b.String()}, err
}
