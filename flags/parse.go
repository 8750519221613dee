package flags

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	schema "github.com/open-feature/flagd-schemas/json"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/switchyard-dev/switchyard/migration"
)

// Limits of a document and of a context. Rules and contexts are walked recursively; the
// depth bounds the stack.
const (
	MaxDocument = 4 << 20 // bytes
	MaxDepth    = 64      // objects and arrays within each other
)

// maxInteger is the largest integer that every client reads exactly: JavaScript has
// only doubles.
const maxInteger = 1<<53 - 1

// Parse reads and validates a document: flagd's own schema, and what the schema cannot
// say. Errors are migration.Invalid and name the path of what is wrong, as in
// flags.k.targeting.if[0]. The flags of an exported file may be an array with keys;
// they become an object.
func Parse(raw []byte) (*Document, error) {
	if len(raw) > MaxDocument {
		return nil, invalid("the document",
			"it has %d bytes, more than the %d allowed: split the set", len(raw), MaxDocument)
	}
	tree, err := decodeStrict(raw)
	if err != nil {
		return nil, err
	}
	root, ok := tree.(map[string]any)
	if !ok {
		return nil, invalid("the document", "it is not a JSON object")
	}
	if err := flagsByKey(root); err != nil {
		return nil, err
	}
	if err := checkRules(root); err != nil {
		return nil, err
	}
	if err := checkSchema(root); err != nil {
		return nil, err
	}
	plain, err := json.Marshal(root)
	if err != nil {
		return nil, invalid("the document", "%v", err)
	}
	var d Document
	if err := json.Unmarshal(plain, &d); err != nil {
		return nil, invalid("the document", "%v", err)
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	return &d, nil
}

func invalid(path, format string, args ...any) error {
	return migration.Errorf(migration.Invalid, "%s: %s", path, fmt.Sprintf(format, args...))
}

// decodeStrict decodes one JSON value, with numbers as they were written. Two members
// of one name are refused, since readers disagree on which counts; so is text that is
// not UTF-8, and a number that not every client can read.
func decodeStrict(raw []byte) (any, error) {
	if !utf8.Valid(raw) {
		return nil, invalid("the document", "it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := decodeValue(d, "", 0)
	if err != nil {
		if migration.KindOf(err) == migration.Invalid {
			return nil, err
		}
		return nil, invalid("the document", "it is not valid JSON: %v", err)
	}
	if d.More() {
		return nil, invalid("the document", "something follows it")
	}
	if _, err := d.Token(); err == nil {
		return nil, invalid("the document", "something follows it")
	}
	return v, nil
}

func decodeValue(d *json.Decoder, path string, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Number:
		return t, checkNumber(path, t)
	case json.Delim:
		if depth++; depth > MaxDepth {
			return nil, invalid(or(path, "the document"),
				"objects and arrays are nested deeper than %d", MaxDepth)
		}
		if t == '[' {
			return decodeArray(d, path, depth)
		}
		return decodeObject(d, path, depth)
	}
	return token, nil
}

func decodeArray(d *json.Decoder, path string, depth int) (any, error) {
	out := []any{}
	for d.More() {
		v, err := decodeValue(d, fmt.Sprintf("%s[%d]", path, len(out)), depth)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := d.Token()
	return out, err
}

func decodeObject(d *json.Decoder, path string, depth int) (any, error) {
	out := map[string]any{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := token.(string)
		at := join(path, name)
		if _, twice := out[name]; twice {
			return nil, invalid(at, "the name is there twice")
		}
		if out[name], err = decodeValue(d, at, depth); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return out, err
}

func checkNumber(path string, n json.Number) error {
	f, err := n.Float64()
	if err != nil {
		return invalid(path, "%s is not a number that can be represented", n)
	}
	if !strings.ContainsAny(n.String(), ".eE") && math.Abs(f) > maxInteger {
		return invalid(path, "the integer %s is beyond %d, where JavaScript clients would "+
			"round it: use a string", n, int64(maxInteger))
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// flagsByKey turns flags that are an array, each with its key, as flagd itself can read
// them, into the object that providers read.
func flagsByKey(root map[string]any) error {
	list, ok := root["flags"].([]any)
	if !ok {
		return nil
	}
	byKey := map[string]any{}
	for i, v := range list {
		path := fmt.Sprintf("flags[%d]", i)
		f, _ := v.(map[string]any)
		key, _ := f["key"].(string)
		if key == "" {
			return invalid(path, "a flag in an array needs a key")
		}
		if _, twice := byKey[key]; twice {
			return invalid(path, "the key %q is there twice", key)
		}
		f = maps.Clone(f)
		delete(f, "key")
		byKey[key] = f
	}
	root["flags"] = byKey
	return nil
}

// operators are what a rule may use: JsonLogic as its schema has it, and flagd's own.
var operators = func() map[string]bool {
	set := map[string]bool{}
	for _, op := range strings.Fields(`var missing missing_some if == === != !== > >= < <=
		% / - + * substr ! !! or and cat in min max
		merge map filter all none some reduce starts_with ends_with sem_ver fractional`) {
		set[op] = true
	}
	return set
}()

// checkRules looks at every rule for operators and references that nobody knows: flagd
// would find them only when a worker asks.
func checkRules(root map[string]any) error {
	evaluators, _ := root["$evaluators"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(evaluators)) {
		path := join("$evaluators", name)
		if !keyPattern.MatchString(name) {
			return invalid(path, "the name is not made of letters, digits, '.', '_' and '-'")
		}
		if rule, ok := evaluators[name].(map[string]any); !ok || len(rule) == 0 {
			return invalid(path, "a rule is an object with one operator")
		}
		if err := checkRule(path, evaluators[name], nil); err != nil {
			return err
		}
	}
	if evaluators == nil {
		evaluators = map[string]any{}
	}
	byKey, _ := root["flags"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		path := join("flags", key)
		if !keyPattern.MatchString(key) {
			return invalid(path, "the key %q is not 1 to 200 letters, digits, '.', '_' and "+
				"'-', the first a letter or digit", key)
		}
		f, _ := byKey[key].(map[string]any)
		if err := checkVariants(join(path, "variants"), f["variants"]); err != nil {
			return err
		}
		targeting, has := f["targeting"]
		if !has {
			continue
		}
		if rule, ok := targeting.(map[string]any); !ok {
			return invalid(join(path, "targeting"),
				"a rule is an object with one operator; leave it out for none")
		} else if len(rule) == 0 {
			continue
		}
		if err := checkRule(join(path, "targeting"), targeting, evaluators); err != nil {
			return err
		}
	}
	return nil
}

// checkRule checks a part of a rule. evaluators are those it may refer to; nil: none,
// since flagd expands references in no fixed order.
func checkRule(path string, rule any, evaluators map[string]any) error {
	switch r := rule.(type) {
	case []any:
		for i, v := range r {
			if err := checkRule(fmt.Sprintf("%s[%d]", path, i), v, evaluators); err != nil {
				return err
			}
		}
	case map[string]any:
		if len(r) != 1 {
			return invalid(path,
				"an object in a rule has exactly one operator; this one has %d members", len(r))
		}
		for op, args := range r {
			at := join(path, op)
			if op == "$ref" {
				return checkRef(at, args, evaluators)
			}
			if !operators[op] {
				return invalid(at, "there is no operator %q", op)
			}
			if err := checkRule(at, args, evaluators); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkRef(path string, to any, evaluators map[string]any) error {
	name, _ := to.(string)
	if evaluators == nil {
		return invalid(path, "an evaluator cannot refer to %q: references are not nested", name)
	}
	if evaluators[name] == nil {
		return invalid(path, "there is no evaluator %q in $evaluators", name)
	}
	return nil
}

// checkVariants refuses what the schema says unclearly: nothing to choose from, null,
// and several types.
func checkVariants(path string, v any) error {
	variants, ok := v.(map[string]any)
	if !ok || len(variants) == 0 {
		return invalid(path, "a flag has at least one variant")
	}
	first := ""
	for i, name := range slices.Sorted(maps.Keys(variants)) {
		at, typ := join(path, name), typeOf(variants[name])
		switch {
		case name == "":
			return invalid(path, "a variant's name is empty")
		case typ == "":
			return invalid(at,
				"null and arrays are no values: a flag is a boolean, string, number or object")
		case hasRef(variants[name]):
			return invalid(at,
				`{"$ref":…} inside a value would be replaced by the readers: name it otherwise`)
		case i == 0:
			first = typ
		case typ != first:
			return invalid(at, "it is a %s, the other variants are of type %s", typ, first)
		}
	}
	return nil
}

func hasRef(v any) bool {
	switch t := v.(type) {
	case []any:
		return slices.ContainsFunc(t, hasRef)
	case map[string]any:
		if _, ok := t["$ref"]; ok && len(t) == 1 {
			return true
		}
		for _, v := range t {
			if hasRef(v) {
				return true
			}
		}
	}
	return false
}

func typeOf(v any) string {
	switch v.(type) {
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number, float64:
		return "number"
	case map[string]any:
		return "object"
	}
	return ""
}

// flagSchema is flagd's schema for what providers read, compiled once.
var flagSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	for url, text := range map[string]string{
		"https://flagd.dev/schema/v0/flags.json":     schema.FlagSchema,
		"https://flagd.dev/schema/v0/targeting.json": schema.TargetingSchema,
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err == nil {
			err = c.AddResource(url, doc)
		}
		if err != nil {
			return nil, err
		}
	}
	return c.Compile("https://flagd.dev/schema/v0/flags.json")
})

func checkSchema(root any) error {
	s, err := flagSchema()
	if err != nil {
		return migration.Errorf(migration.Internal, "flagd's schema: %w", err)
	}
	var bad *jsonschema.ValidationError
	if err := s.Validate(root); errors.As(err, &bad) {
		leaf := deepest(bad)
		return invalid(pathOf(root, leaf.InstanceLocation), "%s",
			leaf.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
	} else if err != nil {
		return invalid("the document", "%v", err)
	}
	return nil
}

// deepest gives the cause that is nearest to what was written wrongly: among
// alternatives, the one that fitted furthest.
func deepest(e *jsonschema.ValidationError) *jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return e
	}
	var best *jsonschema.ValidationError
	for _, c := range e.Causes {
		if d := deepest(c); best == nil || weigh(d) > weigh(best) {
			best = d
		}
	}
	return best
}

// weigh is how far into the document an error lies. Variants weigh nothing: they are
// good, but fit only one of the schema's alternatives.
func weigh(e *jsonschema.ValidationError) int {
	at := e.InstanceLocation
	if len(at) > 2 && at[0] == "flags" && at[2] == "variants" {
		return 0
	}
	return len(at)
}

// pathOf writes a place in a document as people do, with array indexes in brackets.
func pathOf(root any, location []string) string {
	path, at := "", root
	for _, part := range location {
		switch t := at.(type) {
		case []any:
			path += "[" + part + "]"
			at = nil
			if i, err := strconv.Atoi(part); err == nil && i < len(t) {
				at = t[i]
			}
		case map[string]any:
			path, at = join(path, part), t[part]
		default:
			path = join(path, part)
		}
	}
	return or(path, "the document")
}

// check holds a document of the right form to what only counts between its parts.
func (d *Document) check() error {
	if v, ok := d.Metadata[MetaFractional]; ok && v != FractionalV2 {
		return invalid("metadata."+MetaFractional, "the algorithm %v is not known, only %q: "+
			"another one would move readers to other buckets", v, FractionalV2)
	}
	if v, ok := d.Metadata[MetaSetRevision]; ok && !wholeNumber(v) {
		return invalid("metadata."+MetaSetRevision,
			"%v is not a revision: a whole number from 0", v)
	}
	for _, key := range slices.Sorted(maps.Keys(d.Flags)) {
		f, path := d.Flags[key], "flags."+key
		if f.DefaultVariant != nil && f.Variants[*f.DefaultVariant] == nil {
			return invalid(path+".defaultVariant", "%q is not one of its variants: %s",
				*f.DefaultVariant, strings.Join(slices.Sorted(maps.Keys(f.Variants)), ", "))
		}
		for _, name := range []string{MetaSet, MetaSetRevision, MetaFractional} {
			if _, ok := f.Metadata[name]; ok {
				return invalid(path+".metadata."+name, "the name is reserved for the set")
			}
		}
		if v, ok := f.Metadata[MetaRevision]; ok && !wholeNumber(v) {
			return invalid(path+".metadata."+MetaRevision,
				"%v is not a revision: a whole number from 0", v)
		}
	}
	return nil
}

func wholeNumber(v any) bool {
	f, ok := v.(float64)
	return ok && f >= 0 && f == math.Trunc(f) && f <= maxInteger
}
