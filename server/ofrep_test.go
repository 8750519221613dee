package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/ofrep"
	"github.com/switchyard-dev/switchyard/server/servertest"
	"github.com/switchyard-dev/switchyard/workflows"
)

var bearerA = []string{"Authorization", "Bearer " + workerToken}

func TestWorkersReadFlagsWithEitherHeaderAndRevalidate(t *testing.T) {
	t.Parallel()
	st := serve(t)
	for name, header := range map[string][]string{
		"bearer": {"Authorization", "Bearer " + workerToken},
		"key":    {"X-API-Key", workerToken},
	} {
		r := servertest.Ask(
			t, "POST", st.url+bulkPath, `{"context":{"targetingKey":"x"}}`,
			header...)
		if all, _ := r.JSON["flags"].([]any); r.Status != 200 || len(all) == 0 ||
			r.Header.Get("ETag") == "" ||
			r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", name, r.Status, r.Text)
		}
		again := servertest.Ask(
			t, "POST", st.url+bulkPath, `{"context":{"targetingKey":"x"}}`,
			append(header, "If-None-Match", r.Header.Get("ETag"))...)
		if again.Status != http.StatusNotModified || again.Text != "" ||
			again.Header.Get("ETag") != r.Header.Get("ETag") {
			t.Errorf("%s: %d %q for what it holds already", name, again.Status, again.Text)
		}
	}
	if r := servertest.Ask(t, "POST", st.url+bulkPath+"/order-ingestion-stage", "{}", bearerA...); r.Status != 200 ||
		r.JSON["value"] != "off" {
		t.Errorf("one flag: %d %s", r.Status, r.Text)
	}
	if r := servertest.Ask(t, "POST", st.url+bulkPath, "{}"); r.Status != 401 ||
		!r.IsOFREPError("") ||
		r.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("nobody: %d %s", r.Status, r.Text)
	}
}

func TestASessionReadsTheSetThatRoutesTheOrdersAndGetsNoStream(t *testing.T) {
	t.Parallel()
	st := serve(t)
	token := st.as(t, "grace", viewerPass).Token().Reveal()
	r := servertest.Ask(t, "POST", st.url+bulkPath, "{}", "Authorization", "Bearer "+token)
	if meta, _ := r.JSON["metadata"].(map[string]any); r.Status != 200 ||
		meta["flagSetId"] != mid ||
		r.JSON["eventStreams"] != nil {
		t.Errorf("%d %s", r.Status, r.Text)
	}
	if r := servertest.Ask(t, "POST", st.url+"/api/v1/workers/attest", `{"service":"s","instance":"i"}`, "Authorization", "Bearer "+token); r.Status != 401 {
		t.Errorf("a person attested: %d", r.Status)
	}
	b := st.browser(t, "ada", enginePass)
	if r := b.send("POST", bulkPath, nil, nil); r.status != 403 {
		t.Errorf("by cookie, without the session's own token: %d", r.status)
	}
}

func TestAKeyReadsItsOwnSetAndNoOther(t *testing.T) {
	t.Parallel()
	st := serveFlags(t)
	st.hold(t, setB, 2)
	for token, want := range map[string]string{workerToken: setA, tokenB: setB} {
		r := servertest.Ask(t, "POST", st.url+bulkPath+"/kill", "{}", "X-API-Key", token)
		if meta, _ := r.JSON["metadata"].(map[string]any); r.Status != 200 ||
			r.JSON["value"] != false ||
			meta["flagSetId"] != want {
			t.Errorf("%s: %d %s", want, r.Status, r.Text)
		}
		if r := servertest.Ask(t, "GET", st.url+"/api/v1/flags/definition", "", "X-API-Key", token); r.Status != 200 ||
			!strings.Contains(r.Text, want) {
			t.Errorf("%s: %d %s", want, r.Status, r.Text)
		}
	}
}

func TestBadInputGetsTheProtocolsErrorAndNothingElse(t *testing.T) {
	t.Parallel()
	st := serveFlags(t)
	const one = bulkPath + "/kill"
	deep := strings.Repeat("[", 100_000)
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		key, code          string
	}{
		"malformed JSON":               {"POST", one, `{"context":`, nil, 400, "kill", "PARSE_ERROR"},
		"malformed JSON, bulk":         {"POST", bulkPath, `{"context":`, nil, 400, "", "PARSE_ERROR"},
		"context is no object":         {"POST", one, `{"context":[]}`, nil, 400, "kill", "INVALID_CONTEXT"},
		"context of 1 MB":              {"POST", one, `{"context":{"a":"` + strings.Repeat("x", 1<<20) + `"}}`, nil, 400, "kill", "INVALID_CONTEXT"},
		"context of 1 MB, bulk":        {"POST", bulkPath, `{"context":{"a":"` + strings.Repeat("x", 1<<20) + `"}}`, nil, 400, "", "INVALID_CONTEXT"},
		"deep nesting":                 {"POST", one, `{"context":{"a":` + deep, nil, 400, "kill", ""},
		"deep nesting, closed":         {"POST", one, `{"context":{"a":` + deep + strings.Repeat("]", len(deep)) + `}}`, nil, 400, "kill", ""},
		"deep nesting in the limit":    {"POST", one, `{"context":{"a":` + deep[:20_000] + strings.Repeat("]", 20_000) + `}}`, nil, 400, "kill", ""},
		"compressed without being so":  {"POST", one, `{}garbage`, []string{"Content-Encoding", "gzip"}, 400, "kill", "PARSE_ERROR"},
		"unknown flag":                 {"POST", bulkPath + "/none", `{}`, nil, 404, "none", "FLAG_NOT_FOUND"},
		"key with a slash":             {"POST", bulkPath + "/a/b", `{}`, nil, 404, "a/b", "FLAG_NOT_FOUND"},
		"key with an encoded slash":    {"POST", bulkPath + "/a%2Fb%20c", `{}`, nil, 404, "a/b c", "FLAG_NOT_FOUND"},
		"key with a slash at its end":  {"POST", one + "/", `{}`, nil, 404, "kill/", "FLAG_NOT_FOUND"},
		"key with dots":                {"POST", bulkPath + "/..%2f..%2fkill", `{}`, nil, 404, "../../kill", "FLAG_NOT_FOUND"},
		"key in another alphabet":      {"POST", bulkPath + "/%D1%84%D0%BB%D0%B0%D0%B3", `{}`, nil, 404, "флаг", "FLAG_NOT_FOUND"},
		"key with markup":              {"POST", bulkPath + "/%3Cscript%3E", `{}`, nil, 404, "<script>", "FLAG_NOT_FOUND"},
		"key of other case":            {"POST", bulkPath + "/KILL", `{}`, nil, 404, "KILL", "FLAG_NOT_FOUND"},
		"wrong content type":           {"POST", one, `{}`, []string{"Content-Type", "text/plain"}, 400, "kill", "GENERAL"},
		"form":                         {"POST", bulkPath, `a=b`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, "", "GENERAL"},
		"content type that looks like": {"POST", bulkPath, `{}`, []string{"Content-Type", "application/jsonx"}, 400, "", "GENERAL"},
		"wrong token":                  {"POST", one, `{}`, []string{"Authorization", "Bearer " + canary + "-wrong"}, 401, "kill", "GENERAL"},
		"wrong key":                    {"POST", bulkPath, `{}`, []string{"Authorization", "", "X-API-Key", canary + "-wrong"}, 401, "", "GENERAL"},
		"no token":                     {"POST", bulkPath, `{}`, []string{"Authorization", ""}, 401, "", "GENERAL"},
		"empty token":                  {"POST", bulkPath, `{}`, []string{"Authorization", "Bearer "}, 401, "", "GENERAL"},
		"another method":               {"GET", one, ``, nil, 405, "kill", "GENERAL"},
		"another method, bulk":         {"DELETE", bulkPath, ``, nil, 405, "", "GENERAL"},
		"OPTIONS of nobody":            {"OPTIONS", bulkPath, ``, nil, 405, "", "GENERAL"},
		"POST to the stream":           {"POST", streamPath, ``, nil, 405, "", "GENERAL"},
		"configuration, long gone":     {"GET", "/ofrep/v1/configuration", ``, nil, 404, "", "GENERAL"},
		"another version":              {"POST", "/ofrep/v2/evaluate/flags", `{}`, nil, 404, "", "GENERAL"},
		"unknown path":                 {"POST", "/ofrep/v1/evaluate", `{}`, nil, 404, "", "GENERAL"},
	} {
		r := servertest.Ask(
			t, c.method, st.url+c.path, c.body,
			append([]string{bearerA[0], bearerA[1]}, c.header...)...)
		code, _ := r.JSON["errorCode"].(string)
		if r.Status != c.status || !r.IsOFREPError(c.key) || c.code != "" && code != c.code {
			t.Errorf("%s: %d %s %v, want %d %s", name, r.Status, r.Text, r.Header, c.status, c.code)
		}
		if c.status == 401 && r.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: nothing says how to authenticate", name)
		}
		if c.status == 405 && r.Header.Get("Allow") == "" {
			t.Errorf("%s: nothing says which method is right", name)
		}
	}
	for name, body := range map[string]string{
		"no targetingKey": `{"context":{"plan":"x"}}`, "no context": `{}`, "empty": ``,
		"unknown members": `{"context":{},"x":1}`,
	} {
		if r := servertest.Ask(t, "POST", st.url+one, body, append([]string{"Content-Type", "Application/JSON; charset=utf-8"}, bearerA...)...); r.Status != 200 {
			t.Errorf("%s: %d %s", name, r.Status, r.Text)
		}
	}
	if strings.Contains(st.logs.String(), canary) {
		t.Error("a token is in the log")
	}
}

func TestABodyThatIsNotEvenReadGetsTheProtocolsError(t *testing.T) {
	t.Parallel()
	st := serveFlags(t)
	conn := servertest.Dial(t, strings.TrimPrefix(st.url, "http://"))
	_, _ = fmt.Fprintf(
		conn, "POST %s/kill HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", bulkPath,
		ofrep.BodyLimit+1,
	)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var e struct{ Key, ErrorCode string }
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || resp.StatusCode != 400 ||
		e.ErrorCode != "INVALID_CONTEXT" ||
		e.Key != "kill" {
		t.Errorf("%d %+v %v", resp.StatusCode, e, err)
	}
}

func TestWhoAsksTooOftenIsToldHowLongToWait(t *testing.T) {
	t.Parallel()
	st := serveFlags(t)
	var refused servertest.Reply
	for range 50 { // at one a second
		if refused = servertest.Ask(t, "POST", st.url+bulkPath+"/kill", "{}", "X-API-Key", tokenSlow); refused.Status != 200 {
			break
		}
	}
	if after, err := strconv.Atoi(refused.Header.Get("Retry-After")); refused.Status != 429 ||
		!refused.IsOFREPError("kill") ||
		err != nil ||
		after < 1 {
		t.Errorf(
			"%d %s, Retry-After %q", refused.Status, refused.Text,
			refused.Header.Get("Retry-After"),
		)
	}
	if r := servertest.Ask(t, "POST", st.url+bulkPath+"/kill", "{}", bearerA...); r.Status != 200 {
		t.Errorf("another key suffers: %d", r.Status)
	}
	if text := servertest.Ask(t, "GET", st.url+"/metrics", "").Text; !strings.Contains(
		text, `switchyard_flag_rate_limited_total{key="slow"} `,
	) {
		t.Error("it is not counted")
	}
}

func TestARevokedKeyIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	st := serveFlags(t)
	if r := servertest.Ask(t, "POST", st.url+bulkPath, "{}", "X-API-Key", tokenB); r.Status != 200 {
		t.Fatalf("%d %s", r.Status, r.Text)
	}
	if err := st.holder.ReplaceKeys(nil); err != nil {
		t.Fatal(err)
	}
	if r := servertest.Ask(t, "POST", st.url+bulkPath, "{}", "X-API-Key", tokenB); r.Status != 401 ||
		!r.IsOFREPError("") {
		t.Errorf("%d %s", r.Status, r.Text)
	}
}

func TestWhatIsNotKnownYetIs503AndNever401Or404(t *testing.T) {
	t.Parallel()
	st := serveNoFlags(t)
	for name, header := range map[string][]string{
		"a key that may well exist":       {"X-API-Key", tokenB},
		"the worker token, without flags": {"X-API-Key", workerToken},
	} {
		for _, path := range []string{bulkPath, bulkPath + "/kill"} {
			r := servertest.Ask(t, "POST", st.url+path, "{}", header...)
			if r.Status != 503 ||
				!r.IsOFREPError(strings.TrimPrefix(strings.TrimPrefix(path, bulkPath), "/")) ||
				r.Header.Get("Retry-After") != "1" {
				t.Errorf("%s: %d %s %v", name, r.Status, r.Text, r.Header)
			}
		}
		if r := servertest.Ask(t, "GET", st.url+"/api/v1/flags/definition", "", header...); r.Status != 503 ||
			r.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: definition %d %s", name, r.Status, r.Text)
		}
	}
	if r := servertest.Ask(t, "GET", st.url+"/readyz", ""); r.Status != 503 {
		t.Errorf("ready with nothing to serve: %s", r.Text)
	}
}

func TestWithoutADatabaseFlagsAreServedAndTheRestSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	st := serveFlags(t)
	for _, r := range st.routes() {
		got := servertest.Ask(
			t, r.Method,
			st.url+strings.NewReplacer(":key", "kill", ":", "", "*", "app.css").Replace(r.Path),
			bodies[r.Method+" "+r.Path],
			bearerA...)
		if want := 503; bare(r) == (got.Status == want) {
			t.Errorf("%s %s: %d", r.Method, r.Path, got.Status)
		} else if got.Status == want && (got.Header.Get("Retry-After") != "1" || !strings.Contains(got.Text, "he database has not answered since the start")) {
			t.Errorf("%s %s does not say what is missing: %v", r.Method, r.Path, got.Header)
		}
	}
	if r := servertest.Ask(t, "GET", st.url+"/readyz", ""); r.Status != 200 ||
		r.JSON["database"] == "ok" {
		t.Errorf("%d %s", r.Status, r.Text)
	}
	text := servertest.Ask(t, "GET", st.url+"/metrics", "").Text
	for _, want := range []string{
		"switchyard_database_up 0\n", `switchyard_flag_revision{set="set-a"} 1` + "\n",
		`switchyard_flag_requests_total{kind="single",set="set-a"} 1` + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

func TestControlMayComeLater(t *testing.T) {
	t.Parallel()
	var late *workflows.Control
	st := serve(t, func(o *Options) { late, o.Control = o.Control, nil })
	if r := servertest.Ask(t, "GET", st.url+"/sign-in", "", "Accept", "text/html"); r.Status != 503 ||
		r.Header.Get("Retry-After") != "1" {
		t.Fatalf("%d", r.Status)
	}
	st.SetControl(late)
	if _, err := st.as(t, "ada", enginePass).Overview(t.Context(), mid); err != nil {
		t.Error(err)
	}
	if r := servertest.Ask(t, "GET", st.url+"/readyz", ""); r.Status != 200 ||
		r.JSON["database"] != "ok" {
		t.Errorf("%d %s", r.Status, r.Text)
	}
}

func TestADatabaseThatFailsTakesNoFlagsAway(t *testing.T) {
	t.Parallel()
	var control *workflows.Control
	st := serve(t, func(o *Options) { control = o.Control })
	session := st.as(t, "grace", viewerPass).Token().Reveal()
	if err := control.Close(); err != nil { // its database is closed with it
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"bulk": bulkPath, "single": bulkPath + "/order-ingestion-stage",
	} {
		if r := servertest.Ask(t, "POST", st.url+path, "{}", bearerA...); r.Status != 200 {
			t.Errorf("%s: %d %s", name, r.Status, r.Text)
		}
		for whose, token := range map[string]string{"a session's": session, "nobody's": "wrong"} {
			if r := servertest.Ask(t, "POST", st.url+path, "{}", "Authorization", "Bearer "+token); r.Status != 503 ||
				r.JSON["errorCode"] == nil ||
				r.Header.Get("Retry-After") != "1" {
				t.Errorf("%s with %s token: %d %s", name, whose, r.Status, r.Text)
			}
		}
	}
	for path, want := range map[string]string{
		"/readyz": `"database":"does not answer"`, "/metrics": "switchyard_database_up 0\n",
		"/api/v1/flags/definition": "order-ingestion-stage",
	} {
		if r := servertest.Ask(t, "GET", st.url+path, "", bearerA...); r.Status != 200 ||
			!strings.Contains(r.Text, want) {
			t.Errorf("%s: %d, no %s", path, r.Status, want)
		}
	}
}

func TestAWorkerIsListedWithWhatItHolds(t *testing.T) {
	t.Parallel()
	st := serveFlags(t)
	names := []string{
		"X-Worker-Service", "ingestion", "X-Worker-Instance", "web.1", "X-Worker-Version",
		"7",
	}
	find := func(instance string) migration.Worker {
		for _, w := range st.fleet.Workers() {
			if w.Instance == instance {
				return w
			}
		}
		t.Fatalf("no %q in %+v", instance, st.fleet.Workers())
		return migration.Worker{}
	}
	first := servertest.Ask(t, "POST", st.url+bulkPath, "{}", append(names, bearerA...)...)
	if w := find("web.1"); w.Revision != 0 || w.Service != "ingestion" || w.Version != "7" ||
		w.Set != setA ||
		w.Key != "key worker-token" ||
		w.Address != "127.0.0.1" {
		t.Errorf("it has not said yet what it holds: %+v", w)
	}
	servertest.Ask(
		t, "POST", st.url+bulkPath, "{}",
		append(append(names, bearerA...), "If-None-Match", first.Header.Get("ETag"))...)
	if w := find("web.1"); w.Revision != 1 {
		t.Errorf("%+v", w)
	}
	servertest.Ask(
		t, "POST", st.url+bulkPath+"/kill", "{}", "X-Worker-Instance", "single", bearerA[0],
		bearerA[1],
	)
	if w := find("single"); w.Revision != 0 {
		t.Errorf("single evaluations keep nothing: %+v", w)
	}
	servertest.Ask(
		t, "GET", st.url+"/api/v1/flags/definition", "", "X-Worker-Instance", "file",
		bearerA[0], bearerA[1], "If-None-Match", `"1-x"`,
	)
	if w := find("file"); w.Revision != 1 {
		t.Errorf("%+v", w)
	}
	st.hold(t, setA, 2)
	refetch := servertest.Ask(
		t, "POST",
		st.url+bulkPath+"?flagConfigEtag=%22x%22&flagConfigLastModified=1771622900", "{}",
		append(append(names, bearerA...), "If-None-Match", first.Header.Get("ETag"))...)
	if w := find("web.1"); refetch.Status != 200 || w.Revision != 2 {
		t.Errorf("it was told by a stream and does not come again: %d %+v", refetch.Status, w)
	}
	for what, bad := range map[string]string{
		"too long": strings.Repeat("x", 201), "not printable": "a\tb",
		"another alphabet": "ф",
	} {
		servertest.Ask(
			t, "POST", st.url+bulkPath+"/kill", "{}", "X-Worker-Instance", bad, bearerA[0],
			bearerA[1],
		)
		for _, w := range st.fleet.Workers() {
			if w.Instance == bad {
				t.Errorf("a name that is %s is listed", what)
			}
		}
	}
	if r := servertest.Ask(t, "POST", st.url+"/api/v1/workers/attest", `{"service":"ingestion","instance":"attests","revision":1}`, "X-API-Key", tokenB); r.Status != 204 {
		t.Fatalf("%d %s", r.Status, r.Text)
	}
	if w := find("attests"); w.Set != setB || w.Key != "key b" || w.Address != "127.0.0.1" {
		t.Errorf("%+v", w)
	}
}

func TestTheWholeDefinitionIsGivenOnceAndNeverAnOlderOne(t *testing.T) {
	t.Parallel()
	st := serveFlags(t)
	url := st.url + "/api/v1/flags/definition"
	r := servertest.Ask(t, "GET", url, "", bearerA...)
	tag := r.Header.Get("ETag")
	if r.Status != 200 || r.Text != string(servertest.Set(setA, 1).Definition) ||
		r.Header.Get("Content-Type") != "application/json" ||
		tag == "" {
		t.Errorf("%d %s %v", r.Status, r.Text, r.Header)
	}
	for header, want := range map[string]int{
		tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"2-later"`: 304,
		`"0-x"`: 200, `"1-other"`: 200,
	} {
		if r := servertest.Ask(t, "GET", url, "", append([]string{"If-None-Match", header}, bearerA...)...); r.Status != want ||
			(want == 304) != (r.Text == "") {
			t.Errorf("If-None-Match %s: %d %q", header, r.Status, r.Text)
		}
	}
	if r := servertest.Ask(t, "GET", url, "", "X-API-Key", "wrong"); r.Status != 401 ||
		problemOf(t, r.Text).Status != 401 {
		t.Errorf("%d %s", r.Status, r.Text)
	}
}

func TestPagesOfAllowedSitesReadFlagsWithAKeyAndNoOtherSiteDoes(t *testing.T) {
	t.Parallel()
	const shop, evil = "https://shop.example", "https://evil.example"
	st := serve(t, func(o *Options) { o.CORSOrigins = []string{shop} })
	post := func(origin, path string, header ...string) servertest.Reply {
		return servertest.Ask(
			t, "POST", st.url+path, "{}",
			append([]string{"Origin", origin, "Sec-Fetch-Site", "cross-site"}, header...)...)
	}
	r := post(shop, bulkPath, bearerA...)
	if h := r.Header; r.Status != 200 || h.Get("Access-Control-Allow-Origin") != shop ||
		!strings.Contains(h.Get("Access-Control-Expose-Headers"), "ETag") ||
		h.Get("Vary") != "Origin" ||
		h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v", r.Status, h)
	}
	if r := post(shop, bulkPath+"/none", bearerA...); r.Status != 404 ||
		r.Header.Get("Access-Control-Allow-Origin") != shop {
		t.Errorf("an error: %d %v", r.Status, r.Header)
	}
	if r := post(shop, bulkPath, "X-API-Key", "wrong"); r.Status != 401 ||
		r.Header.Get("Access-Control-Allow-Origin") != shop {
		t.Errorf("a wrong key: %d %v", r.Status, r.Header)
	}
	for name, r := range map[string]servertest.Reply{
		"another site":                 post(evil, bulkPath, bearerA...),
		"one that begins like it":      post(shop+".evil.example", bulkPath, bearerA...),
		"the same over plain HTTP":     post("http://shop.example", bulkPath, bearerA...),
		"no key":                       post(shop, bulkPath),
		"another route":                post(shop, "/api/v1/workers/attest", bearerA...),
		"a cookie instead of a key":    {Status: st.browser(t, "ada", enginePass).send("POST", bulkPath, nil, map[string]string{"Origin": shop, "Sec-Fetch-Site": "cross-site"}).status},
		"an opaque origin (a sandbox)": post("null", bulkPath, bearerA...),
	} {
		if r.Status != 403 {
			t.Errorf("%s: %d %s", name, r.Status, r.Text)
		}
		if got := r.Header.Get("Access-Control-Allow-Origin"); got != "" && name != "no key" {
			t.Errorf("%s: allowed for %s", name, got)
		}
	}
	preflight := func(origin, path string) servertest.Reply {
		return servertest.Ask(
			t, "OPTIONS", st.url+path, "", "Origin", origin,
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers",
			"x-api-key,if-none-match",
		)
	}
	r = preflight(shop, bulkPath+"/kill")
	if h := r.Header; r.Status != 204 || r.Text != "" ||
		h.Get("Access-Control-Allow-Origin") != shop ||
		!strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") ||
		h.Get("Vary") != "Origin" {
		t.Errorf("%d %v", r.Status, h)
	}
	for _, want := range []string{
		"If-None-Match", "X-API-Key", "Authorization", "Content-Type", "X-Worker-Service",
		"X-Worker-Instance", "X-Worker-Version",
	} {
		if !strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), want) {
			t.Errorf("%s may not be sent: %q", want, r.Header.Get("Access-Control-Allow-Headers"))
		}
	}
	for _, r := range []servertest.Reply{
		preflight(evil, bulkPath), preflight(shop, "/api/v1/migrations"),
	} {
		if r.Status < 400 || r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%d %v", r.Status, r.Header)
		}
	}
}
