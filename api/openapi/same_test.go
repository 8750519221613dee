package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// accepted are the differences to the document that was written by hand: where it was wrong.
var accepted = map[string]string{
	attest + " security":               "a worker may also send X-API-Key, as for every other route",
	export + " description":            "the description of the answer says it",
	breaker + ".scan required":         "all three fields are always there",
	flag + ".value type":               "any JSON value, as OFREP says",
	flag + " required":                 "value and variant are absent for the code's default",
	bulk[:len(bulk)-4] + " parameters": "what clients send with a fetch for an event was missing",
	bulk + " properties":               "an address to be told of changes was missing",
	bulk + ".flags[] properties":       "a flag may be an error, as OFREP says",
	bulk + ".flags[] required":         "a flag may be an error, as OFREP says",
	bulk + ".flags[].value type":       "any JSON value, as OFREP says",
}

const (
	outage  = "get /api/v1/migrations/{mid}/outage 200.providers[].provider"
	attest  = "post /api/v1/workers/attest"
	export  = "get /api/v1/migrations/{mid}/flags/export 200"
	breaker = "get /api/v1/migrations/{mid}/breaker 200"
	flag    = "post /ofrep/v1/evaluate/flags/{key} 200"
	bulk    = "post /ofrep/v1/evaluate/flags 200"
)

// TestTheDocumentMeansWhatItMeant compares the generated document with the one that was written by
// hand. References are resolved and order does not count; where the old one said only "an object",
// and for enumerations that it did not name, the new one may say more. Descriptions may be worded
// in another way, but none may be lost.
func TestTheDocumentMeansWhatItMeant(t *testing.T) {
	t.Parallel()
	for _, f := range []string{"deadline", "schedule", "no_loss", "last_try", "after", "recovery", "dedupe_by"} {
		accepted[outage+"."+f+".level enum"] = "it is empty where nothing is known"
	}
	raw, err := os.ReadFile("../testdata/openapi-by-hand.json")
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := document()
	if err != nil {
		t.Fatal(err)
	}
	c := &comparison{t: t, was: load(t, raw), is: load(t, fresh), unused: maps.Clone(accepted)}
	c.operations()
	for at := range c.unused {
		t.Errorf("%s: there is no such difference", at)
	}
	t.Logf("%d places say more than before", len(c.more))
	for _, line := range c.more {
		t.Log(line)
	}
}

type object = map[string]any

func load(t *testing.T, raw []byte) object {
	t.Helper()
	var d object
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

type comparison struct {
	t       *testing.T
	was, is object
	unused  map[string]string
	more    []string
}

func (c *comparison) differs(at, format string, args ...any) {
	if _, ok := accepted[at]; ok {
		delete(c.unused, at)
		return
	}
	c.t.Errorf("%s: %s", at, fmt.Sprintf(format, args...))
}

func (c *comparison) saysMore(at, what string) { c.more = append(c.more, at+": "+what) }

func (c *comparison) equal(at string, was, is any) {
	if !reflect.DeepEqual(was, is) {
		c.differs(at, "was %v, is %v", was, is)
	}
}

// part follows names into an object; an empty one where there is none.
func part(o object, path ...string) object {
	for _, p := range path {
		o, _ = o[p].(object)
	}
	if o == nil {
		return object{}
	}
	return o
}

// resolve follows a reference; what stands beside it holds too.
func resolve(doc, o object) object {
	ref, ok := o["$ref"].(string)
	if !ok {
		return o
	}
	out := maps.Clone(resolve(doc, part(doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)))
	for k, v := range o {
		if k != "$ref" {
			out[k] = v
		}
	}
	return out
}

func (c *comparison) operations() {
	names := func(doc object) (out []string) {
		for path, methods := range part(doc, "paths") {
			for method := range methods.(object) {
				out = append(out, method+" "+path)
			}
		}
		slices.Sort(out)
		return out
	}
	c.equal("operations", names(c.was), names(c.is))
	for _, name := range names(c.was) {
		method, path, _ := strings.Cut(name, " ")
		c.operation(name, part(c.was, "paths", path, method), part(c.is, "paths", path, method))
	}
	for _, key := range []string{"info", "servers", "openapi"} {
		w, i := c.was[key], c.is[key]
		if o, ok := w.(object); ok {
			delete(o, "description")
			delete(i.(object), "description")
		}
		c.equal(key, w, i)
	}
	w, i := part(c.was, "components", "securitySchemes"), part(c.is, "components", "securitySchemes")
	for name := range w {
		a, b := part(w, name), part(i, name)
		delete(a, "description")
		delete(b, "description")
		c.equal("security scheme "+name, a, b)
	}
}

func (c *comparison) operation(at string, was, is object) {
	c.equal(at+" operationId", was["operationId"], is["operationId"])
	c.equal(at+" x-who", was["x-who"], is["x-who"])
	if s, _ := is["security"].([]any); reflect.DeepEqual(s, []any{object{}}) {
		is["security"] = []any{} // nothing is needed either way
	}
	c.equal(at+" security", was["security"], is["security"])
	c.equal(at+" summary", was["summary"] != nil, is["summary"] != nil)
	if was["description"] != nil && is["description"] == nil {
		c.differs(at+" description", "was %v", was["description"])
	}
	params := func(o object) map[string]object {
		out := map[string]object{}
		list, _ := o["parameters"].([]any)
		for _, p := range list {
			out[p.(object)["in"].(string)+" "+p.(object)["name"].(string)] = p.(object)
		}
		return out
	}
	w, i := params(was), params(is)
	c.equal(at+" parameters", slices.Sorted(maps.Keys(w)), slices.Sorted(maps.Keys(i)))
	for name := range w {
		here := at + " " + name
		c.equal(here+" required", w[name]["required"] == true, i[name]["required"] == true)
		if w[name]["description"] != nil && i[name]["description"] == nil {
			c.differs(here+" description", "was %v", w[name]["description"])
		}
		c.schema(here, part(w[name], "schema"), part(i[name], "schema"))
	}
	c.equal(at+" body required", part(was, "requestBody")["required"], part(is, "requestBody")["required"])
	c.content(at+" body", part(was, "requestBody"), part(is, "requestBody"))
	rw, ri := part(was, "responses"), part(is, "responses")
	c.equal(at+" responses", slices.Sorted(maps.Keys(rw)), slices.Sorted(maps.Keys(ri)))
	for status := range rw {
		here := at + " " + status
		a, b := resolve(c.was, part(rw, status)), resolve(c.is, part(ri, status))
		c.content(here, a, b)
		ha, hb := part(a, "headers"), part(b, "headers")
		c.equal(here+" headers", slices.Sorted(maps.Keys(ha)), slices.Sorted(maps.Keys(hb)))
		for name := range ha {
			c.schema(here+" "+name, part(ha, name, "schema"), part(hb, name, "schema"))
		}
	}
}

func (c *comparison) content(at string, was, is object) {
	w, i := part(was, "content"), part(is, "content")
	c.equal(at+" media types", slices.Sorted(maps.Keys(w)), slices.Sorted(maps.Keys(i)))
	for media := range w {
		c.schema(at, part(w, media, "schema"), part(i, media, "schema"))
	}
}

// plain resolves a schema and says whether null is allowed apart from its other types.
func plain(doc, s object) (object, bool) {
	s = maps.Clone(resolve(doc, s))
	null := false
	for _, key := range []string{"oneOf", "anyOf"} {
		choices, _ := s[key].([]any)
		for _, choice := range choices {
			if choice.(object)["type"] == "null" {
				null = true
				continue
			}
			for k, v := range resolve(doc, choice.(object)) {
				if s[k] == nil {
					s[k] = v
				}
			}
		}
		delete(s, key)
	}
	if types, ok := s["type"].([]any); ok {
		var rest []any
		for _, t := range types {
			if t == "null" {
				null = true
			} else {
				rest = append(rest, t)
			}
		}
		s["type"] = rest
		if len(rest) == 1 {
			s["type"] = rest[0]
		}
	}
	return s, null
}

func (c *comparison) schema(at string, was, is object) {
	w, wNull := plain(c.was, was)
	i, iNull := plain(c.is, is)
	c.equal(at+" null", wNull, iNull)
	if w["description"] != nil && i["description"] == nil && !isList(w["description"], i["enum"]) {
		c.differs(at+" description", "was %q", w["description"])
	}
	if w["type"] == nil && w["properties"] == nil && i["type"] != nil {
		c.saysMore(at, "is "+fmt.Sprint(i["type"]))
		return
	}
	c.equal(at+" type", w["type"], i["type"])
	for _, key := range []string{"minimum", "maximum", "maxLength", "maxItems", "default"} {
		c.equal(at+" "+key, w[key], i[key])
	}
	if f := i["format"]; w["format"] != nil || f != "int64" && f != "double" {
		c.equal(at+" format", w["format"], i["format"])
	}
	c.enum(at, w, i)
	if w["items"] != nil || i["items"] != nil {
		c.schema(at+"[]", part(w, "items"), part(i, "items"))
	}
	if w["additionalProperties"] != nil {
		c.schema(at+"{}", part(w, "additionalProperties"), part(i, "additionalProperties"))
	}
	pw, pi := part(w, "properties"), part(i, "properties")
	if w["type"] == "object" && len(pw) == 0 {
		if len(pi) > 0 {
			c.saysMore(at, "has "+strings.Join(slices.Sorted(maps.Keys(pi)), ", "))
		}
		return
	}
	c.equal(at+" properties", slices.Sorted(maps.Keys(pw)), slices.Sorted(maps.Keys(pi)))
	c.equal(at+" required", texts(w["required"]), texts(i["required"]))
	for name := range pw {
		if pi[name] != nil {
			c.schema(at+"."+name, part(pw, name), part(pi, name))
		}
	}
}

func (c *comparison) enum(at string, w, i object) {
	if w["enum"] == nil && i["enum"] != nil {
		c.saysMore(at, "is one of "+strings.Join(texts(i["enum"]), ", "))
		return
	}
	c.equal(at+" enum", texts(w["enum"]), texts(i["enum"]))
}

// isList reports whether a description did nothing but list the values of an enumeration.
func isList(description, enum any) bool {
	words := strings.Split(fmt.Sprint(description), ", ")
	slices.Sort(words)
	return slices.Equal(words, texts(enum))
}

func texts(list any) []string {
	var out []string
	values, _ := list.([]any)
	for _, v := range values {
		out = append(out, fmt.Sprint(v))
	}
	slices.Sort(out)
	return out
}
