package server

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

// ask calls the API and gives status and body.
func (st *running) ask(t *testing.T, token, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(
		t.Context(), method, st.url+path, strings.NewReader(body),
	)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func read[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

const flagAPI = "/api/v1/migrations/" + mid + "/flags"

func TestFlagsAreEditedCheckedRolledBackAndKilledOverTheAPI(t *testing.T) {
	t.Parallel()
	st := serve(t)
	ada := st.as(t, "ada", enginePass).Token().Reveal()
	post := func(path, body string, want int) string {
		t.Helper()
		status, text := st.ask(t, ada, "POST", path, body)
		if status != want {
			t.Fatalf("POST %s: %d %s, want %d", path, status, text, want)
		}
		return text
	}
	const banner = `{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off","targeting":{"if":[{"ends_with":[{"var":"email"},"@example.com"]},"on"]}}`
	const stop = `{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on","metadata":{"type":"kill-switch"}}`
	edit := `{"flags":{"banner":` + banner + `,"intake":` + stop + `},"reason":"campaign"}`

	check := read[migration.FlagCheck](t, post(flagAPI+"/check", edit, 200))
	if len(check.Changes) != 2 || check.Changes[0].Kind != "added" {
		t.Errorf("check: %+v", check)
	}
	first := read[migration.FlagSetRevision](t, post(flagAPI+"/changes", edit, 201))
	post(flagAPI+"/changes", `{"base":1,"flags":{"banner":null},"reason":"too late"}`, 409)
	post(
		flagAPI+"/changes", edit, 400,
	) // changes nothing
	post(
		flagAPI+"/changes", `{"flags":{"banner":null},"reason":" "}`, 400,
	) // no reason
	post(
		flagAPI+"/changes", `{"flags":{"order-ingestion-stage":null},"reason":"r"}`, 403,
	) // managed
	post(
		flagAPI+"/changes",
		`{"flags":{"x":{"state":"ENABLED","variants":{},"targeting":1}},"reason":"r"}`, 400,
	) // invalid

	// Workers have it at once.
	status, text := st.ask(
		t, workerToken, "POST", "/ofrep/v1/evaluate/flags/banner",
		`{"context":{"targetingKey":"k","email":"a@example.com"}}`,
	)
	if e := read[map[string]any](t, text); status != 200 || e["value"] != true ||
		e["reason"] != "TARGETING_MATCH" {
		t.Errorf("evaluation: %d %s", status, text)
	}
	preview := post(flagAPI+"/evaluate", `{"key":"banner","context":{"email":"a@else.where"}}`, 200)
	if e := read[map[string]any](t, preview); e["value"] != false || e["reason"] != "DEFAULT" {
		t.Errorf("preview: %s", preview)
	}

	killed := read[migration.FlagSetRevision](
		t,
		post(flagAPI+"/kill", `{"key":"intake","killed":true,"reason":"provider down"}`, 201),
	)
	if _, text := st.ask(t, workerToken, "POST", "/ofrep/v1/evaluate/flags/intake", `{}`); read[map[string]any](t, text)["value"] != false {
		t.Errorf("killed flag: %s", text)
	}
	post(flagAPI+"/kill", `{"key":"banner","killed":true,"reason":"r"}`, 400) // no kill switch
	back := read[migration.FlagSetRevision](
		t, post(flagAPI+"/rollback", `{"revision":1,"reason":"campaign over"}`, 201),
	)
	if back.Revision != killed.Revision+1 || killed.Revision != first.Revision+1 {
		t.Errorf("revisions %d, %d, %d", first.Revision, killed.Revision, back.Revision)
	}
	view := read[migration.FlagSetView](
		t, func() string { _, text := st.ask(t, ada, "GET", flagAPI, ""); return text }(),
	)
	for _, f := range view.Flags {
		if f.ManagedBy != "cutover" {
			t.Errorf("%s is left after the rollback", f.Key)
		}
	}
	history := read[api.FlagHistory](
		t,
		func() string { _, text := st.ask(t, ada, "GET", flagAPI+"/history?limit=10", ""); return text }(),
	)
	if len(history.Revisions) != 4 || history.Revisions[0].Reason != "campaign over" ||
		len(history.Revisions[0].Changes) != 2 {
		t.Errorf("history: %+v", history.Revisions)
	}
	if status, text := st.ask(t, ada, "GET", flagAPI+"/export", ""); status != 200 ||
		!strings.Contains(text, `"flagSetId":"`+mid+`"`) {
		t.Errorf("export: %d %s", status, text)
	}
	lead := st.as(t, "grace", viewerPass).Token().Reveal()
	if status, _ := st.ask(t, lead, "POST", flagAPI+"/changes", edit); status != 403 {
		t.Errorf("a viewer's edit: %d", status)
	}
}

func TestAKeyReadsItsOwnSetUntilItIsRevoked(t *testing.T) {
	t.Parallel()
	st := serve(t)
	ada := st.as(t, "ada", enginePass).Token().Reveal()
	const m = "/api/v1/migrations/" + mid
	if status, text := st.ask(t, ada, "POST", m+"/flag-sets", `{"id":"checkout","name":"Checkout"}`); status != 201 {
		t.Fatalf("%d %s", status, text)
	}
	if status, text := st.ask(t, ada, "POST", m+"/flags/changes?set=checkout", `{"flags":{"a":{"state":"ENABLED","variants":{"x":"y"},"defaultVariant":"x"}},"reason":"r"}`); status != 201 {
		t.Fatalf("%d %s", status, text)
	}
	status, text := st.ask(
		t, ada, "POST", m+"/keys", `{"set":"checkout","name":"web","rate_per_second":1000}`,
	)
	if status != 201 {
		t.Fatalf("%d %s", status, text)
	}
	k := read[api.CreatedKey](t, text)
	if status, text := st.ask(t, k.Token, "POST", "/ofrep/v1/evaluate/flags/a", `{}`); status != 200 ||
		read[map[string]any](t, text)["value"] != "y" {
		t.Errorf("its own set: %d %s", status, text)
	}
	if status, text := st.ask(t, k.Token, "POST", "/ofrep/v1/evaluate/flags/source-endpoint", `{}`); status != 404 {
		t.Errorf("another set's flag: %d %s", status, text)
	}
	if _, text := st.ask(t, ada, "GET", m+"/keys", ""); strings.Contains(text, k.Token) {
		t.Error("the list holds the token")
	}
	if status, _ := st.ask(t, ada, "DELETE", m+"/keys/"+k.Key.ID, ""); status != 204 {
		t.Errorf("revoke: %d", status)
	}
	if status, text := st.ask(t, k.Token, "POST", "/ofrep/v1/evaluate/flags/a", `{}`); status != 401 ||
		!strings.Contains(text, "errorCode") {
		t.Errorf("a revoked key: %d %s", status, text)
	}
	if strings.Contains(st.logs.String(), k.Token) {
		t.Error("the token is in the log")
	}
}
