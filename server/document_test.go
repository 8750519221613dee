package server

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/server/site"
)

// TestMain holds every answer that a test of this package gets from the API to the document.
func TestMain(m *testing.M) {
	d, err := readDocument()
	if err != nil {
		fmt.Fprintln(os.Stderr, "the document:", err)
		os.Exit(1)
	}
	http.DefaultTransport = &checkedTransport{d, http.DefaultTransport}
	os.Exit(m.Run())
}

// documented is the document, with every schema compiled.
type documented struct{ operations []*operation }

// operation is one operation of the document.
type operation struct {
	method, path string
	who          string
	pattern      *regexp.Regexp
	params       []parameter
	body         *jsonschema.Schema
	answers      map[string]map[string]*jsonschema.Schema // by status and media type
}

type parameter struct{ Name, In string }

const documentURL = "https://switchyard.test/openapi.json"

func readDocument() (*documented, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(api.OpenAPI()))
	if err != nil {
		return nil, err
	}
	closeObjects(doc)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(documentURL, doc); err != nil {
		return nil, err
	}
	var raw struct {
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(api.OpenAPI(), &raw); err != nil {
		return nil, err
	}
	for name := range raw.Components.Schemas {
		if _, err := c.Compile(documentURL + "#/components/schemas/" + name); err != nil {
			return nil, err
		}
	}
	d := &documented{}
	for path, methods := range raw.Paths {
		for method, op := range methods {
			o, err := readOperation(c, method, path, op)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			d.operations = append(d.operations, o)
		}
	}
	// "current" before "{id}": a path without a parameter matches first.
	slices.SortFunc(d.operations, func(a, b *operation) int {
		return strings.Count(a.path, "{") - strings.Count(b.path, "{")
	})
	return d, nil
}

// closeObjects forbids properties that a schema does not name, so that a field that is sent and not
// documented is found.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["properties"].(map[string]any); ok && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range v {
			closeObjects(inner)
		}
	}
}

func readOperation(c *jsonschema.Compiler, method, path string, raw []byte) (*operation, error) {
	type content struct {
		Ref     string `json:"$ref"`
		Content map[string]struct{}
	}
	var op struct {
		Who         string `json:"x-who"`
		Parameters  []parameter
		RequestBody content
		Responses   map[string]content
	}
	if err := json.Unmarshal(raw, &op); err != nil {
		return nil, err
	}
	o := &operation{method: strings.ToUpper(method), path: path, who: op.Who, params: op.Parameters,
		answers: map[string]map[string]*jsonschema.Schema{}}
	o.pattern = regexp.MustCompile("^" + pathParameter.ReplaceAllString(path, "[^/]+") + "$")
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace
	here := documentURL + "#/paths/" + escape(path) + "/" + method
	for media := range op.RequestBody.Content {
		var err error
		if o.body, err = c.Compile(here + "/requestBody/content/" + escape(media) + "/schema"); err != nil {
			return nil, err
		}
	}
	for status, answer := range op.Responses {
		at, media := here+"/responses/"+status, slices.Collect(maps.Keys(answer.Content))
		if answer.Ref != "" {
			at, media = documentURL+answer.Ref, []string{"application/problem+json"}
		}
		o.answers[status] = map[string]*jsonschema.Schema{}
		for _, m := range media {
			s, err := c.Compile(at + "/content/" + escape(m) + "/schema")
			if err != nil {
				return nil, err
			}
			o.answers[status][m] = s
		}
	}
	return o, nil
}

var pathParameter = regexp.MustCompile(`\{[a-z]+\}`)

// find gives the operation that a request is for; nil for pages and for what does not exist.
func (d *documented) find(r *http.Request) *operation {
	for _, o := range d.operations {
		if o.method == r.Method && o.pattern.MatchString(r.URL.EscapedPath()) {
			return o
		}
	}
	return nil
}

// checkedTransport fails requests whose answers are not as documented.
type checkedTransport struct {
	document *documented
	next     http.RoundTripper
}

func (c *checkedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		if sent, err = io.ReadAll(body); err != nil {
			return nil, err
		}
	}
	resp, err := c.next.RoundTrip(r)
	o := c.document.find(r)
	if err != nil || o == nil || resp.Header.Get("Content-Type") == "text/event-stream" {
		return resp, err
	}
	if resp.Header.Get("X-Content-Type-Options") == "" {
		return resp, nil // of a test's stand-in
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(got))
	if err := o.check(r, sent, resp, got); err != nil {
		return nil, fmt.Errorf("%s %s is not as documented: %w\nrequest %s\nanswer %d %s",
			o.method, o.path, err, sent, resp.StatusCode, got)
	}
	return resp, nil
}

// check holds an answer to the document, and a request that was accepted.
func (o *operation) check(r *http.Request, sent []byte, resp *http.Response, got []byte) error {
	kinds, ok := o.answers[strconv.Itoa(resp.StatusCode)]
	if !ok {
		if resp.StatusCode < 400 {
			return errors.New("a success with another status")
		}
		kinds = o.answers["default"]
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	schema := kinds[media]
	switch {
	case schema == nil && len(kinds) > 0:
		return fmt.Errorf("the media type is %q", media)
	case len(kinds) == 0 && len(got) > 0:
		return errors.New("there is a body")
	case schema != nil:
		if err := validate(schema, got); err != nil {
			return err
		}
	}
	if resp.StatusCode >= 300 {
		return nil
	}
	for name := range r.URL.Query() {
		if !slices.Contains(o.params, parameter{name, "query"}) {
			return fmt.Errorf("the parameter %s", name)
		}
	}
	tolerant := o.who == string(site.Worker) || o.who == string(site.Reader) // workers may be newer
	switch {
	case len(bytes.TrimSpace(sent)) == 0 || tolerant:
		return nil
	case o.body == nil:
		return errors.New("the request has a body")
	}
	return validate(o.body, sent)
}

func validate(s *jsonschema.Schema, raw []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

func TestTheDocumentNamesEveryRouteAndNoOther(t *testing.T) {
	t.Parallel()
	d, err := readDocument()
	if err != nil {
		t.Fatal(err)
	}
	param := regexp.MustCompile(`:([a-z]+)`)
	routes := map[string]site.Access{}
	for _, r := range (&Server{}).routes() {
		if strings.HasPrefix(r.Path, "/api/") || strings.HasPrefix(r.Path, "/ofrep/") {
			routes[r.Method+" "+param.ReplaceAllString(r.Path, "{$1}")] = r.Who
		}
	}
	for _, o := range d.operations {
		name := o.method + " " + o.path
		who, ok := routes[name]
		if delete(routes, name); !ok || string(who) != o.who {
			t.Errorf("%s is documented for %q; the server's table says %q", name, o.who, who)
		}
		var named []string
		for _, p := range o.params {
			if p.In == "path" {
				named = append(named, "{"+p.Name+"}")
			}
		}
		if want := pathParameter.FindAllString(o.path, -1); !slices.Equal(named, want) {
			t.Errorf("%s: path parameters %v, want %v", name, named, want)
		}
	}
	for name := range routes {
		t.Errorf("%s is not documented: add an operation to package api", name)
	}
}

// TestEveryReadingIsAsDocumented asks each operation that only reads; checkedTransport judges.
func TestEveryReadingIsAsDocumented(t *testing.T) {
	t.Parallel()
	st := serve(t)
	run := st.runAudit(t)
	token := st.as(t, "ada", enginePass).Token().Reveal()
	values := strings.NewReplacer("{mid}", mid, "{run}", run.ID, "{step}", "audit",
		"{queue}", "orders", "{format}", "helm")
	ask := map[string]string{"findJobs": "?id=1", "getLedgerOrder": "?id=1"}
	statuses := map[string]int{
		"planRollback":   http.StatusPreconditionFailed, // an audit changes nothing
		"getLedgerOrder": http.StatusNotFound,
	}
	for _, op := range api.Operations() {
		method, path, _ := strings.Cut(op.Route, " ")
		if method != http.MethodGet || op.MediaType != "" {
			continue
		}
		url := st.url + values.Replace(path) + ask[op.ID]
		req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		if op.Access == api.AccessWorker {
			req.Header.Set("Authorization", "Bearer "+workerToken)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Errorf("%s: %v", op.ID, err)
			continue
		}
		_ = resp.Body.Close()
		if want := statuses[op.ID]; resp.StatusCode != cmp.Or(want, http.StatusOK) {
			t.Errorf("%s: %s", op.ID, resp.Status)
		}
	}
}
