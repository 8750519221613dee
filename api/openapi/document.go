package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/swaggest/openapi-go"
	"github.com/swaggest/openapi-go/openapi31"

	"github.com/switchyard-dev/switchyard/api"
)

const about = "Takes BullMQ queues off a single Redis without losing or double-processing an order. " +
	"The command line, the pages and this API offer the same verbs and the same next steps. Sign in " +
	"with POST /api/v1/sessions and send the token as a bearer token. x-who says who may call: open, " +
	"session (every account), engineer, worker (a key, such as the worker token), reader (a key or a " +
	"session), ticket (whoever has the address)."

// Security schemes, by name.
const (
	bearer    = "bearer"
	cookie    = "cookie"
	worker    = "worker"
	workerKey = "workerKey"
)

// security lists the schemes any one of which lets a caller in.
var security = map[api.Access][]string{
	api.AccessOpen:     nil,
	api.AccessTicket:   nil,
	api.AccessSession:  {bearer, cookie},
	api.AccessEngineer: {bearer, cookie},
	api.AccessWorker:   {worker, workerKey},
	api.AccessReader:   {worker, workerKey, bearer},
}

// generate gives the document as indented JSON.
func generate() ([]byte, error) {
	r := openapi31.NewReflector()
	types, err := newSchemas(r)
	if err != nil {
		return nil, err
	}
	head(r.Spec)
	for _, op := range api.Operations() {
		if err := add(r, op); err != nil {
			return nil, fmt.Errorf("operation %s: %w", op.ID, err)
		}
	}
	if err := types.checkNames(); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(r.Spec)
	if err != nil {
		return nil, fmt.Errorf("encode the document: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("encode the document: %w", err)
	}
	out.WriteByte('\n')
	plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")
	return []byte(plain.Replace(out.String())), nil
}

// head fills in what belongs to no operation.
func head(s *openapi31.Spec) {
	s.Info.WithTitle("Switchyard").WithVersion("1").WithDescription(about)
	s.Info.WithLicense(*(&openapi31.License{}).WithName("Apache-2.0").WithIdentifier("Apache-2.0"))
	s.WithServers(*(&openapi31.Server{}).WithURL("/"))
	s.SetHTTPBearerTokenSecurity(bearer, "", "A session's token.")
	s.SetAPIKeySecurity(cookie, "switchyard_session", openapi.InCookie,
		"For pages; changes also need the header X-CSRF-Token.")
	s.SetHTTPBearerTokenSecurity(worker, "", "A key of a flag set, such as the worker token.")
	s.SetAPIKeySecurity(workerKey, "X-API-Key", openapi.InHeader,
		"A key of a flag set, such as the worker token.")
}

// add adds one operation.
func add(r *openapi31.Reflector, op api.Operation) error {
	method, path, _ := strings.Cut(op.Route, " ")
	oc, err := r.NewOperationContext(method, path)
	if err != nil {
		return err
	}
	oc.SetID(op.ID)
	oc.SetSummary(op.Summary)
	if op.Description != "" {
		oc.SetDescription(op.Description)
	}
	out := oc.(openapi31.OperationExposer).Operation() // documented
	out.WithMapOfAnythingItem("x-who", string(op.Access))
	schemes, known := security[op.Access]
	if !known {
		return fmt.Errorf("access %q is not known", op.Access)
	}
	if len(schemes) == 0 {
		out.Security = []map[string][]string{{}} // nothing is needed
	}
	for _, scheme := range schemes {
		out.Security = append(out.Security, map[string][]string{scheme: {}})
	}
	pathParameters(out, path)
	if op.Params != nil {
		oc.AddReqStructure(op.Params)
	}
	if op.Body != nil {
		oc.AddReqStructure(op.Body, func(cu *openapi.ContentUnit) {
			cu.ContentType = "application/json"
			cu.Customize = func(c openapi.ContentOrReference) {
				c.(*openapi31.RequestBodyOrReference).RequestBody.WithRequired(!op.BodyOptional)
			}
		})
	}
	success(oc, op)
	failure(r, oc, op)
	if err := r.AddOperation(oc); err != nil {
		return err
	}
	for _, p := range out.Parameters {
		delete(p.Parameter.Schema, "description") // the parameter has it
	}
	return nil
}

// pathParameters adds the parameters of a path that mean the same everywhere.
func pathParameters(out *openapi31.Operation, path string) {
	for rest := path; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			return
		}
		name, after, _ := strings.Cut(after, "}")
		rest = after
		text, shared := api.PathParameters[name]
		if !shared {
			continue // in Params
		}
		p := openapi31.Parameter{Name: name, In: openapi31.ParameterInPath}
		p.WithRequired(true).WithDescription(text).WithSchema(map[string]any{"type": "string"})
		out.Parameters = append(out.Parameters, p.ToParameterOrRef())
	}
}

// success adds the answers that are no errors.
func success(oc openapi.OperationContext, op api.Operation) {
	status := op.SuccessStatus()
	result := op.Result
	if result == "" {
		result = http.StatusText(status)
	}
	describe := func(cu *openapi.ContentUnit) {
		cu.HTTPStatus, cu.Description = status, result
	}
	oc.AddRespStructure(op.Answer, describe, openapi.WithContentType(op.MediaType))
	if op.Headers != nil {
		oc.AddRespStructure(op.Headers, describe)
	}
	if op.NotModified != "" {
		oc.AddRespStructure(nil, openapi.WithHTTPStatus(http.StatusNotModified),
			func(cu *openapi.ContentUnit) { cu.Description = op.NotModified })
	}
}

// failure adds the answer to what does not succeed; Problem is written once, among the components.
func failure(r *openapi31.Reflector, oc openapi.OperationContext, op api.Operation) {
	isDefault := func(cu *openapi.ContentUnit) { cu.IsDefault, cu.Description = true, "Error" }
	if op.Error != nil {
		oc.AddRespStructure(op.Error, isDefault)
		return
	}
	oc.AddRespStructure(api.Problem{}, isDefault,
		openapi.WithContentType("application/problem+json"),
		openapi.WithCustomize(func(c openapi.ContentOrReference) {
			answer := *c.(*openapi31.ResponseOrReference)
			r.Spec.ComponentsEns().WithResponsesItem("Problem", answer)
			c.SetReference("#/components/responses/Problem")
		}))
}
