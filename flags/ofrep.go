package flags

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxBody bounds an evaluation request, in bytes; a larger one is answered 400, since OFREP 0.3.0 has no 413. Workers send a
// targeting key and a few attributes.
const MaxBody = 64 << 10

// Words of OFREP 0.3.0 (open-feature/protocol, service/openapi.yaml). GENERAL stands for what the protocol has no word for.
const (
	reasonStatic      = "STATIC"
	codeParseError    = "PARSE_ERROR"
	codeInvalid       = "INVALID_CONTEXT"
	codeNotFound      = "FLAG_NOT_FOUND"
	codeGeneral       = "GENERAL"
	contentType       = "application/json"
	retryAfterSeconds = 1
)

// Response is an answer for the web layer to send as it is. Body is shared between answers and must not be changed; it is empty
// with 304. ETag is empty where there is none.
type Response struct {
	Status      int
	ETag        string
	ContentType string
	// RetryAfter is for the header of that name, in seconds; 0: none. Always an integer: an official client reads a date as a year.
	RetryAfter int
	Body       []byte
	Revision   int64 // of the set it was answered from; 0 with an error
}

// Request is a bulk evaluation as it arrives.
type Request struct {
	IfNoneMatch string
	Body        []byte
	// Streams is a JSON array for the answer's eventStreams; empty: none are advertised.
	Streams []byte
}

// EvaluateOne answers POST /ofrep/v1/evaluate/flags/{key} for one set with 200, 400, 404 or, while the set is not known, 503.
func (h *Holder) EvaluateOne(set, key string, body []byte) Response {
	s := (*h.sets.Load())[set]
	if s == nil {
		return unknown(key)
	}
	if code, details := checkRequest(body); code != "" {
		return failure(http.StatusBadRequest, key, code, details)
	}
	e := s.byKey[key]
	if e == nil {
		return failure(http.StatusNotFound, key, codeNotFound, fmt.Sprintf("Flag '%s' was not found", key))
	}
	return Response{Status: http.StatusOK, ContentType: contentType, Body: e.body, Revision: s.set.Revision}
}

// EvaluateAll answers POST /ofrep/v1/evaluate/flags for one set with 200, 304 when IfNoneMatch holds the current ETag, 400 or, while the
// set is not known, 503. The ETag changes with the revision, with the stale mark and, where a flag has targeting, with the context; it
// is known before anything is evaluated. A reader that holds a later revision than we do gets 304: nothing older may replace it.
func (h *Holder) EvaluateAll(set string, r Request) Response {
	s := (*h.sets.Load())[set]
	if s == nil {
		return unknown("")
	}
	if code, details := checkRequest(r.Body); code != "" {
		return failure(http.StatusBadRequest, "", code, details)
	}
	if matches(r.IfNoneMatch, s.etag) {
		return Response{Status: http.StatusNotModified, ETag: s.etag, Revision: s.set.Revision}
	}
	return Response{Status: http.StatusOK, ETag: s.etag, ContentType: contentType, Body: s.bulk, Revision: s.set.Revision}
}

// HeldRevision gives the revision that an If-None-Match header says its sender holds; 0 when it says none.
func HeldRevision(ifNoneMatch string) int64 {
	text := strings.TrimPrefix(strings.TrimSpace(ifNoneMatch), "W/")
	number, _, _ := strings.Cut(strings.TrimPrefix(text, `"`), "-")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Evaluation is the answer for one flag, for previews and for Go code.
type Evaluation struct {
	Key          string         `json:"key"`
	Value        any            `json:"value,omitempty"` // absent: the code's default
	Variant      string         `json:"variant,omitempty"`
	Reason       string         `json:"reason"`
	ErrorCode    string         `json:"errorCode,omitempty"`
	ErrorDetails string         `json:"errorDetails,omitempty"`
	Metadata     map[string]any `json:"metadata,omitempty"`
}

// Evaluate evaluates one flag of a document as a worker with this context would see it.
func (d *Document) Evaluate(key string, context map[string]any, now time.Time) Evaluation {
	return Evaluation{Key: key, Reason: "ERROR", ErrorCode: codeNotFound}
}

// unknown is the answer before the first set: not 404, which a client takes for "use the default", and not 401.
func unknown(key string) Response {
	r := failure(http.StatusServiceUnavailable, key, codeGeneral, "No flags are known yet: the database has not answered since the start and there is no last known good set")
	r.RetryAfter = retryAfterSeconds
	return r
}

// failure encodes an error answer; the bulk form has no key. errorCode is always there: official clients do not understand an
// error without one.
func failure(status int, key, code, details string) Response {
	body, err := json.Marshal(struct {
		Key     string `json:"key,omitempty"`
		Code    string `json:"errorCode"`
		Details string `json:"errorDetails"`
	}{key, code, details})
	if err != nil { // strings always encode
		body = []byte(`{"errorCode":"` + codeGeneral + `"}`)
	}
	return Response{Status: status, ContentType: contentType, Body: body}
}

// checkRequest reports what is wrong with a request body. The context is not evaluated, only required to be an object when it is
// there; an empty body counts as {}.
func checkRequest(body []byte) (code, details string) {
	i := skipSpace(body, 0)
	switch {
	case len(body) > MaxBody:
		return codeInvalid, fmt.Sprintf("The request body is larger than %d bytes", MaxBody)
	case i == len(body):
		return "", ""
	case !json.Valid(body):
		return codeParseError, "The request body is not valid JSON"
	case body[i] != '{':
		return codeParseError, "The request body is not a JSON object"
	case !contextIsObject(body, i):
		return codeInvalid, "The context is not a JSON object"
	}
	return "", ""
}

// contextIsObject looks through the members of the object at body[i], which is valid JSON, without decoding it: nothing else in
// the request counts, and this runs on every poll of every worker.
func contextIsObject(body []byte, i int) bool {
	i++
	for {
		i = skipSpace(body, i)
		switch body[i] {
		case '}':
			return true
		case ',':
			i++
			continue
		}
		end := skipString(body, i)
		name := body[i:end]
		i = skipSpace(body, end)
		i = skipSpace(body, i+1) // past the colon
		if isContext(name) && body[i] != '{' {
			return false
		}
		i = skipValue(body, i)
	}
}

// isContext reports whether a quoted JSON string is "context", also when spelled with escapes.
func isContext(quoted []byte) bool {
	if string(quoted) == `"context"` {
		return true
	}
	if !strings.Contains(string(quoted), `\`) { // does not allocate
		return false
	}
	var name string
	return json.Unmarshal(quoted, &name) == nil && name == "context"
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index after the string that starts at b[i].
func skipString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue returns the index after the value that starts at b[i], a member of an object.
func skipValue(b []byte, i int) int {
	depth := 0
	for {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // the end of the object after a number or a word
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
}

// matches applies If-None-Match (RFC 9110, section 13.1.2): "*" matches what there is, else a list of entity tags compared
// weakly, so W/"x" matches "x". A list that is not well-formed matches as far as it is.
func matches(header, etag string) bool {
	rest := strings.Trim(header, " \t")
	if rest == "*" {
		return true
	}
	for {
		rest = strings.TrimLeft(rest, " \t,")
		rest = strings.TrimPrefix(rest, "W/")
		if len(rest) == 0 || rest[0] != '"' {
			return false
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return false
		}
		if rest[:end+2] == etag {
			return true
		}
		rest = rest[end+2:]
	}
}
