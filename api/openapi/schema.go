package main

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/swaggest/jsonschema-go"
	"github.com/swaggest/openapi-go/openapi31"
)

// The rules by which Go's types become schemas, where they are not the library's own:
//
//   - A property is required unless its tag says omitempty or omitzero, or required:"false".
//   - A pointer may be null unless it is left out; a slice or map is never null, unless its tag says
//     nullable:"true".
//   - A named string is an enumeration of the constants of its type; enum:"a,b" narrows that,
//     or says what the values of a plain string are; ",a,b" allows the empty string too.
//   - type:"object" says what json.RawMessage holds. On a slice, enum and type are about its items.
//   - Descriptions are doc comments, see source.

// schemas hooks those rules into the library.
type schemas struct {
	reflector *openapi31.Reflector
	source    *source
	named     map[string]reflect.Type // components by name
	clashes   map[string]bool         // types of one name, in words
}

// newSchemas makes a reflector keep to the rules.
func newSchemas(r *openapi31.Reflector) (*schemas, error) {
	src, err := newSource()
	if err != nil {
		return nil, err
	}
	g := &schemas{r, src, map[string]reflect.Type{}, map[string]bool{}}
	r.DefaultOptions = append(r.DefaultOptions, jsonschema.InterceptDefName(g.name),
		jsonschema.InterceptSchema(g.typ), jsonschema.InterceptProp(g.property))
	return g, nil
}

// names of components that are not called as their type: another type has that name, or they were
// called so before.
var names = map[string]string{
	"audit.Finding":          "ReportFinding",
	"audit.Severity":         "AuditSeverity",
	"audit.State":            "AuditState",
	"bullmq.Match":           "JobMatch",
	"bullmq.Queue":           "QueueName",
	"capacity.State":         "LimitState",
	"ledger.Verdict":         "LedgerVerdict",
	"providers.Plan":         "ManagedPlan",
	"cutoverreport.Severity": "ReportSeverity",
	"digest.Alert":           "DigestAlert",
	"digest.Alerts":          "DigestAlerts",
	"digest.Change":          "DigestChange",
	"digest.Criterion":       "DigestCriterion",
	"digest.Decision":        "DigestDecision",
	"digest.Next":            "DigestNext",
	"digest.Orders":          "DigestOrders",
	"digest.Part":            "DigestPart",
	"digest.Run":             "DigestRun",
	"digest.Week":            "DigestWeek",
	"forecast.Forecast":      "ReportForecast",
	"forecast.State":         "ForecastState",
	"report.Criterion":       "ReportCriterion",
	"report.Milestone":       "ReportMilestone",
	"report.Report":          "StatusReport",
	"report.Risk":            "ReportRisk",
	"report.Run":             "ReportRun",
	"report.Waiver":          "ReportWaiver",
}

// name gives a type's name among the components. Only structs and named strings are components.
func (g *schemas) name(t reflect.Type, _ string) string {
	if k := t.Kind(); k != reflect.Struct && k != reflect.String {
		g.reflector.InlineDefinition(reflect.Zero(t).Interface())
		return t.String()
	}
	name := t.Name()
	if other, ok := names[t.String()]; ok {
		name = other
	}
	switch was := g.named[name]; {
	case was == nil:
		g.named[name] = t
	case was != t:
		g.clashes[fmt.Sprintf("%s and %s share one: give another in names", was, t)] = true
	}
	return name
}

// checkNames reports types that share a name, and entries of names that name no type.
func (g *schemas) checkNames() error {
	var wrong []string
	wrong = append(wrong, sortedKeys(g.clashes)...)
	for _, t := range sortedKeys(names) {
		if is := g.named[names[t]]; is == nil || is.String() != t {
			wrong = append(wrong, t+" in names: the API has no such type")
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("names of types: %s", strings.Join(wrong, "; "))
	}
	return nil
}

// typ completes the schema of a type.
func (g *schemas) typ(p jsonschema.InterceptSchemaParams) (stop bool, err error) {
	t := p.Value.Type()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	d, err := g.source.lookup(t)
	if err != nil || d == nil || !p.Processed {
		return false, err
	}
	names := jsonNames(t)
	for _, c := range d.constants {
		p.Schema.Enum = append(p.Schema.Enum, c.value)
		names[c.name] = c.value
	}
	text := describe(d.doc, t.Name(), names, false)
	for _, c := range d.constants {
		if meaning := describe(c.doc, c.name, names, false); meaning != "" {
			text += fmt.Sprintf("\n- `%s`: %s", cmp.Or(c.value, `""`), meaning)
		}
	}
	if text != "" {
		p.Schema.WithDescription(text)
	}
	return false, nil
}

// property completes the schema of a field.
func (g *schemas) property(p jsonschema.InterceptPropParams) error {
	if !p.Processed {
		return nil
	}
	s, tag := p.PropertySchema, p.Field.Tag
	_, options, _ := strings.Cut(tag.Get("json"), ",")
	omitted := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
	if err := g.describeField(p, omitted); err != nil {
		return err
	}
	if isBody := tag.Get("json") != ""; isBody {
		require(p.ParentSchema, p.Name, !omitted && tag.Get("required") != "false")
	}
	what := s
	if k := p.Field.Type.Kind(); (k == reflect.Slice || k == reflect.Array) && s.Items != nil {
		what = s.Items.SchemaOrBool.TypeObject
		s.Enum = nil
		if p.Field.Type.Elem().Kind() == reflect.Pointer {
			allowNull(what)
		}
	}
	if values := tag.Get("enum"); values != "" {
		what.Ref = nil // narrows the constants of the type, which the reference would bring
		what.WithType(jsonschema.String.Type())
		what.Enum = nil
		for _, v := range strings.Split(values, ",") {
			what.Enum = append(what.Enum, v)
		}
	}
	if tag.Get("type") == "object" {
		what.WithType(jsonschema.Object.Type())
	}
	forbidNull(s)
	if p.Field.Type.Kind() == reflect.Pointer && !omitted || tag.Get("nullable") == "true" {
		allowNull(s)
	}
	return nil
}

var nanoseconds = regexp.MustCompile(`\b(ns|nanoseconds)\b`)

// describeField gives a field the description that its comment holds.
func (g *schemas) describeField(p jsonschema.InterceptPropParams, omitted bool) error {
	owner := p.ParentSchema.ReflectType
	for owner.Kind() == reflect.Pointer {
		owner = owner.Elem()
	}
	if f, ok := owner.FieldByName(p.Field.Name); ok { // an embedded struct declares its fields itself
		for _, i := range f.Index[:len(f.Index)-1] {
			owner = owner.Field(i).Type
		}
	}
	d, err := g.source.lookup(owner)
	if err != nil || d == nil {
		return err
	}
	text := describe(d.fields[p.Field.Name], p.Field.Name, jsonNames(owner), omitted)
	if p.Field.Type == reflect.TypeFor[time.Duration]() && !nanoseconds.MatchString(text) {
		text = strings.TrimSpace(text + " In nanoseconds.")
	}
	p.PropertySchema.Description = nil
	if text != "" {
		p.PropertySchema.WithDescription(text)
	}
	return nil
}

// jsonNames gives the JSON names of a struct's fields by their Go names.
func jsonNames(t reflect.Type) map[string]string {
	out := map[string]string{}
	if t.Kind() != reflect.Struct {
		return out
	}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			out[f.Name] = name
		}
	}
	return out
}

func require(parent *jsonschema.Schema, name string, required bool) {
	parent.Required = slices.DeleteFunc(parent.Required, func(n string) bool { return n == name })
	if required {
		parent.Required = append(parent.Required, name)
	}
}

// forbidNull removes null, which the library adds to slices, maps and pointers.
func forbidNull(s *jsonschema.Schema) {
	if s.Type == nil {
		return
	}
	var others []jsonschema.SimpleType
	for _, t := range s.Type.SliceOfSimpleTypeValues {
		if t != jsonschema.Null {
			others = append(others, t)
		}
	}
	if len(others) == 1 {
		s.WithType(others[0].Type())
	}
}

// allowNull says that null may stand in place of what a schema describes.
func allowNull(s *jsonschema.Schema) {
	if s.Ref == nil {
		s.AddType(jsonschema.Null)
		return
	}
	ref := jsonschema.Schema{Ref: s.Ref}
	s.Ref = nil
	s.AnyOf = []jsonschema.SchemaOrBool{ref.ToSchemaOrBool(), jsonschema.Null.ToSchemaOrBool()}
}
