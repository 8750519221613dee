package flags

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxBody bounds an evaluation request, in bytes; a larger one is answered 400, since
// OFREP 0.3.0 has no 413. Workers send a targeting key and a few attributes.
const MaxBody = 64 << 10

// Words of OFREP 0.3.0 (open-feature/protocol, service/openapi.yaml). GENERAL stands
// for what the protocol has no word for.
const (
	reasonStatic      = "STATIC"
	reasonMatch       = "TARGETING_MATCH"
	reasonDefault     = "DEFAULT"
	reasonDisabled    = "DISABLED"
	reasonError       = "ERROR"
	codeParseError    = "PARSE_ERROR"
	codeInvalid       = "INVALID_CONTEXT"
	codeNotFound      = "FLAG_NOT_FOUND"
	codeGeneral       = "GENERAL"
	contentType       = "application/json"
	retryAfterSeconds = 1
)

// Response is an answer for the web layer to send as it is. Body is shared between
// answers and must not be changed; it is empty with 304. ETag is empty where there is
// none.
type Response struct {
	Status      int
	ETag        string
	ContentType string
	// RetryAfter is for the header of that name, in seconds; 0: none. Always an
	// integer: an official client reads a date as a year.
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

// EvaluateOne answers POST /ofrep/v1/evaluate/flags/{key} for one set with 200, 400,
// 404 or, while the set is not known, 503.
func (h *Holder) EvaluateOne(set, key string, body []byte) Response {
	s := (*h.sets.Load())[set]
	if s == nil {
		return unknown(key)
	}
	raw, code, details := readRequest(body)
	if code != "" {
		return failure(http.StatusBadRequest, key, code, details)
	}
	e := s.byKey[key]
	if e == nil {
		return failure(http.StatusNotFound, key, codeNotFound,
			fmt.Sprintf("Flag '%s' was not found", key))
	}
	a := e.static
	if a == nil {
		context, err := decodeContext(raw)
		if err != nil {
			return failure(http.StatusBadRequest, key, codeInvalid, err.Error())
		}
		a = e.evaluate(context, h.opt.Now())
	}
	r := Response{Status: a.status, ContentType: contentType, Body: a.body}
	if a.status == http.StatusOK {
		r.Revision = s.set.Revision
	}
	return r
}

// EvaluateAll answers POST /ofrep/v1/evaluate/flags for one set with 200, 304 when
// IfNoneMatch holds the current ETag, 400 or, while the set is not known, 503. The ETag
// changes with the revision, with the stale mark and, where a flag has targeting, with
// the context; it is known before anything is evaluated. A reader that holds a later
// revision than we do gets 304: nothing older may replace it.
func (h *Holder) EvaluateAll(set string, r Request) Response {
	s := (*h.sets.Load())[set]
	if s == nil {
		return unknown("")
	}
	raw, code, details := readRequest(r.Body)
	if code != "" {
		return failure(http.StatusBadRequest, "", code, details)
	}
	f := &s.forms[0]
	if h.staleSet(s) {
		f = &s.forms[1]
	}
	now := time.Time{}
	var buffer [128]byte
	tag := buffer[:0]
	if s.targeted {
		now = h.opt.Now()
		tag = s.contextTag(tag, f.tag, raw, now)
	} else {
		tag = append(tag, f.etag...)
	}
	if held := s.matches(r.IfNoneMatch, tag); held != "" {
		if held == "*" {
			held = string(tag)
		}
		return Response{Status: http.StatusNotModified, ETag: held, Revision: s.set.Revision}
	}
	answer := Response{
		Status:      http.StatusOK,
		ETag:        f.etag,
		ContentType: contentType,
		Revision:    s.set.Revision,
	}
	if !s.targeted {
		answer.Body = f.bulk
		if len(r.Streams) > 0 {
			answer.Body = withStreams(append(make([]byte, 0,
				len(f.bulk)+len(r.Streams)+len(streamsName)), s.flags...), r.Streams, f.tail)
		}
		return answer
	}
	context, err := decodeContext(raw)
	if err != nil {
		return failure(http.StatusBadRequest, "", codeInvalid, err.Error())
	}
	answer.ETag = string(tag)
	answer.Body = withStreams(s.appendFlags(make([]byte, 0, 256*(len(s.entries)+1)), context,
		now), r.Streams, f.tail)
	return answer
}

const streamsName = `,"eventStreams":`

func withStreams(b, streams, tail []byte) []byte {
	if len(streams) > 0 {
		b = append(append(b, streamsName...), streams...)
	}
	return append(b, tail...)
}

// contextTag appends the tag of an answer that depends on the context, and maybe on the
// second.
func (s *snapshot) contextTag(b []byte, base string, context []byte, now time.Time) []byte {
	sum := sha256.Sum256(context)
	b = append(b, base...)
	b = append(b, '.')
	b = hex.AppendEncode(b, sum[:8])
	if s.timed {
		b = append(b, '.')
		b = strconv.AppendInt(b, now.Unix(), 16)
	}
	return append(b, '"')
}

// decodeContext decodes a context that is known to be an object; an absent one is empty.
func decodeContext(raw []byte) (map[string]any, error) {
	if len(raw) == 0 {
		return map[string]any{}, nil
	}
	context, _, err := objectAt(raw, 0)
	if err != nil {
		return nil, fmt.Errorf("The context cannot be read: %w", err)
	}
	return context, checkContext(context, 1)
}

// HeldRevision gives the revision that an If-None-Match header says its sender holds; 0
// when it says none.
func HeldRevision(ifNoneMatch string) int64 {
	var held int64
	for tag, rest := nextTag(ifNoneMatch); tag != ""; tag, rest = nextTag(rest) {
		n, _ := parseTag(tag)
		held = max(held, n)
	}
	return held
}

// parseTag takes a tag of ours apart into the revision and what stands for the set; 0
// when it is not ours.
func parseTag(tag string) (revision int64, set string) {
	number, rest, ok := strings.Cut(strings.Trim(tag, `"`), "-")
	// an error of ParseInt would allocate
	if !ok || number == "" || number[0] < '0' || number[0] > '9' {
		return 0, ""
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, ""
	}
	set, _, _ = strings.Cut(rest, "-")
	return n, set
}

// Evaluation is the answer for one flag.
//
// It is for previews and for Go code.
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
// The document must have been parsed.
func (d *Document) Evaluate(key string, context map[string]any, now time.Time) Evaluation {
	f, ok := d.Flags[key]
	if !ok {
		return Evaluation{
			Key:          key,
			Reason:       reasonError,
			ErrorCode:    codeNotFound,
			ErrorDetails: fmt.Sprintf("Flag '%s' was not found", key),
		}
	}
	e, err := newEntry(key, f, d.Evaluators, d.Metadata)
	if err != nil {
		return Evaluation{
			Key:          key,
			Reason:       reasonError,
			ErrorCode:    codeParseError,
			ErrorDetails: err.Error(),
		}
	}
	plain, err := plainContext(context)
	if err != nil {
		return Evaluation{
			Key:          key,
			Reason:       reasonError,
			ErrorCode:    codeInvalid,
			ErrorDetails: err.Error(),
		}
	}
	return e.evaluate(plain, now).Evaluation
}

// unknown is the answer before the first set: not 404, which a client takes for "use
// the default", and not 401.
func unknown(key string) Response {
	r := failure(http.StatusServiceUnavailable, key, codeGeneral, "No flags are known yet: "+
		"the database has not answered since the start and there is no last known good set")
	r.RetryAfter = retryAfterSeconds
	return r
}

// failure encodes an error answer; the bulk form has no key. errorCode is always there:
// official clients do not understand an error without one.
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

// readRequest finds the context in a request body, or reports what is wrong with it.
// The context is not decoded, only required to be an object when it is there; of
// several the last counts. An empty body counts as {}.
func readRequest(body []byte) (context []byte, code, details string) {
	i := skipSpace(body, 0)
	switch {
	case len(body) > MaxBody:
		return nil, codeInvalid,
			fmt.Sprintf("The request body is larger than %d bytes", MaxBody)
	case i == len(body):
		return nil, "", ""
	case body[i] != '{':
		if end := skipValue(body, i, 0); end < 0 || skipSpace(body, end) < len(body) {
			return nil, codeParseError, "The request body is not valid JSON"
		}
		return nil, codeParseError, "The request body is not a JSON object"
	}
	object := true
	end := skipObject(body, i, 0, func(name, nameEnd, value, valueEnd int) {
		if isContext(body[name:nameEnd]) {
			context = body[value:valueEnd]
			object = object && body[value] == '{'
		}
	})
	if end < 0 || skipSpace(body, end) < len(body) {
		return nil, codeParseError, "The request body is not valid JSON"
	}
	if !object {
		return nil, codeInvalid, "The context is not a JSON object"
	}
	return context, "", ""
}

// isContext reports whether a quoted JSON string is "context", also when spelled with
// escapes.
func isContext(quoted []byte) bool {
	return string(quoted) == `"context"` ||
		bytes.IndexByte(quoted, '\\') >= 0 && stringOf(quoted) == "context"
}

// matches applies If-None-Match (RFC 9110, section 13.1.2): "*" matches what there is,
// else a list of entity tags compared weakly, so W/"x" matches "x". A tag of this set
// with a later revision matches too. It gives the tag that matched, empty for none. A
// list that is not well-formed counts as far as it is.
func (s *snapshot) matches(header string, etag []byte) string {
	if header == "" {
		return ""
	}
	if strings.Trim(header, " \t") == "*" {
		return "*"
	}
	for tag, rest := nextTag(header); tag != ""; tag, rest = nextTag(rest) {
		if tag == string(etag) {
			return tag
		}
		if n, set := parseTag(tag); n > s.set.Revision && set == s.tag {
			return tag
		}
	}
	return ""
}

// nextTag cuts the next entity tag off a list, with its quotes and without W/; empty
// when there is none.
func nextTag(list string) (tag, rest string) {
	list = strings.TrimLeft(list, " \t,")
	list = strings.TrimPrefix(list, "W/")
	if list == "" || list[0] != '"' {
		return "", ""
	}
	end := strings.IndexByte(list[1:], '"')
	if end < 0 {
		return "", ""
	}
	return list[:end+2], list[end+2:]
}
