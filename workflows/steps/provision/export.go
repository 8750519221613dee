package provision

import (
	"embed"
	"encoding/json"
	"strings"
	"text/template"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

//go:embed export/*.tmpl
var exportFiles embed.FS

// exports are the names of the files by format. The templates of a format are in export/, by
// the configuration's key of the service where they are for one service alone.
var exports = map[string]string{
	"terraform": "managed-redis.tf",
	"helm":      "managed-redis-values.yaml",
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

// ExportFor writes what the step would bring about as Terraform, or as values for Helm.
// Invalid: there is no such format, or none for this service.
func ExportFor(
	format, name string, offer providers.Offer, vars providers.VarsAbout,
) (Export, error) {
	file, ok := exports[format]
	if !ok {
		return Export{}, migration.Errorf(
			migration.Invalid,
			"there is no format %.20q: terraform and helm are",
			format,
		)
	}
	t := exportOf(format, offer)
	if t == nil {
		return Export{}, migration.Errorf(migration.Invalid,
			"there is no %s of %s: Switchyard creates nothing there that it could write down",
			format, offer.Key)
	}
	var b strings.Builder
	err := t.Execute(&b, map[string]any{
		"Migration": strings.Join(strings.Fields(name), " "), "Offer": offer, "Vars": vars,
		"Price": offer.Price.Source, "Var": environment.TargetVar, "Secret": "managed-redis",
	})
	return Export{format, file, b.String()}, err
}

// Exports lists the formats that there are for a service.
func Exports(offer providers.Offer) []string {
	var out []string
	for _, format := range []string{"terraform", "helm"} {
		if exportOf(format, offer) != nil {
			out = append(out, format)
		}
	}
	return out
}

// exportOf gives a format's template for a service; nil where there is none.
func exportOf(format string, offer providers.Offer) *template.Template {
	if t := exportTemplates.Lookup(offer.Key + "." + format + ".tmpl"); t != nil {
		return t
	}
	return exportTemplates.Lookup(format + ".tmpl")
}
