package server

import (
	"net/url"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/workflows"
)

const (
	flagPages = "/m/" + mid + "/flags"
	onOff     = `{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off"}`
	offOn     = `{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on"}`
)

// draft is the editor's form with a definition as text.
func draft(do, key, definition string) map[string]string {
	return map[string]string{"do": do, "key": key, "as": "json", "raw": definition}
}

func save(reason string) map[string]string {
	return map[string]string{"do": "save", "reason": reason}
}

// addFlag makes a flag as a person would.
func (b *browser) addFlag(key, definition string) {
	b.t.Helper()
	review := b.submit(b.get(flagPages+"/edit"), "review", draft("review", key, definition))
	saved := b.submit(review, "save", save("added"))
	if saved.status != 200 {
		b.t.Fatalf("%s: %d\n%s", key, saved.status, saved.text)
	}
}

func TestAFlagIsPreviewedReviewedAndSavedAndStaysNewUntilThen(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, "ada", enginePass)
	editor := b.get(flagPages + "/edit")
	in := draft("preview", "banner", onOff)
	in["context"] = `{"email":"a@example.com"}`
	preview := b.submit(editor, "preview", in)
	preview.wants(t, 200, `id="preview-result"`, "STATIC", "a@example.com")

	in["do"] = "review"
	review := b.submit(preview, "review", in)
	review.wants(t, 200, `data-change="added"`)
	back := b.submit(review, "back", map[string]string{"do": "back"})
	back.wants(t, 200, `id="variant-name-0"`, "a@example.com")
	if back.field("new") != "true" || back.field("key") != "banner" {
		t.Errorf("back at the editor: new %q, key %q", back.field("new"), back.field("key"))
	}
	b.submit(review, "save", save("")).wants(t, 400, "reason")
	b.submit(review, "save", save("campaign")).wants(t, 200, `data-flag="banner"`, "campaign")
}

func TestANewFlagNeverBecomesAnEditOfOneThatIsThere(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b, other := st.browser(t, "ada", enginePass), st.browser(t, "linus", secondPass)
	// Reviewed while the key was free.
	late := b.submit(b.get(flagPages+"/edit"), "review", draft("review", "banner", offOn))
	other.addFlag("banner", onOff)

	again := b.submit(b.get(flagPages+"/edit"), "review", draft("review", "banner", offOn))
	again.wants(t, 409, "already has a flag", "choose another key", `"defaultVariant":"on"`)
	refused := b.submit(late, "save", save("mine"))
	refused.wants(t, 409, "already has a flag", "Changed by others in the meantime")
	if !refused.there("#save[disabled]") {
		t.Error("the other person's flag can be overwritten")
	}
	back := b.submit(refused, "back", map[string]string{"do": "back"})
	if back.field("new") != "true" || back.field("default") != "on" {
		t.Errorf(
			"what was typed is lost: new %q, default %q", back.field("new"),
			back.field("default"),
		)
	}
}

func TestAConflictShowsWhatOthersChangedAndKeepsTheDraft(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b, other := st.browser(t, "ada", enginePass), st.browser(t, "linus", secondPass)
	b.addFlag("banner", onOff)
	mine := b.submit(
		b.get(flagPages+"/edit?key=banner"), "review", draft("review", "banner", offOn),
	)
	other.addFlag("theirs", onOff)

	conflict := b.submit(mine, "save", save("my reason"))
	conflict.wants(
		t, 409, "Changed by others in the meantime", "linus", "theirs", `data-change="changed"`,
	)
	if conflict.field("reason") != "my reason" {
		t.Errorf("the reason is now %q", conflict.field("reason"))
	}
	b.submit(conflict, "save", map[string]string{"do": "save"}).
		wants(t, 200, `data-flag="theirs"`, "my reason")
}

func TestBadInputOfTheEditorIsNamedInPlace(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, "ada", enginePass)
	editor := b.get(flagPages + "/edit")
	b.submit(editor, "review", draft("review", "x", `{oops`)).
		wants(t, 400, "not valid JSON", "{oops")
	odd := strings.TrimSuffix(onOff, "}") + `,"targeting":{"nonsense":[1]}}`
	b.submit(editor, "review", draft("review", "x", odd)).wants(t, 400, "targeting", "nonsense")
	b.submit(editor, "review", draft("review", "", onOff)).wants(t, 400, "Key: is needed")
	bad := draft("preview", "x", onOff)
	bad["context"] = "[1]"
	b.submit(editor, "preview", bad).wants(t, 400, "context")
	b.get(flagPages+"/edit?key=none").wants(t, 404, "no flag", "history")
}

func TestAManagedFlagIsRefusedWithThePlaceWhereItIsChanged(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, "ada", enginePass)
	shown := b.get(flagPages + "/edit?key=order-ingestion-stage")
	shown.wants(t, 200, "only steps change this flag", "/m/"+mid+"/steps/cutover")
	if shown.there("#flag-form") {
		t.Error("a managed flag has a form")
	}
	forced := draft("review", "order-ingestion-stage", onOff)
	forced["new"] = "false"
	b.submit(b.get(flagPages+"/edit"), "review", forced).wants(t, 403, "cutover", "use its page")
}

func TestAKillSwitchIsThrownAndARevisionBroughtBackOnThePages(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, "ada", enginePass)
	b.addFlag("intake", strings.TrimSuffix(offOn, "}")+`,"metadata":{"type":"kill-switch"}}`)
	list := b.get(flagPages)
	kill := b.submit(list, "kill-intake", map[string]string{"reason": "provider down"})
	kill.wants(t, 200, "Killed", "provider down")
	history := b.get(flagPages + "/history")
	review := b.submit(history, "rollback-1", nil)
	review.wants(t, 200, `data-change="removed"`)
	b.submit(review, "save", save("over")).wants(t, 200, `data-flag="order-ingestion-stage"`)
	missing := map[string]string{"revision": "99"}
	b.submit(history, "rollback-1", missing).wants(t, 404, "Nothing was rolled back")
	late := map[string]string{"reason": "late"}
	b.submit(list, "kill-intake", late).wants(t, 404, "The kill switch was not changed")
}

func TestAKeysTokenIsShownOnce(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, "ada", enginePass)
	made := b.submit(b.get(flagPages+"/keys"), "create-key", map[string]string{"name": "checkout"})
	made.wants(t, 201, "swy_")
	shown := strings.TrimSpace(made.find("#token").Text())
	again := b.get(flagPages + "/keys").text
	if !strings.HasPrefix(shown, "swy_") || strings.Contains(again, shown) {
		t.Errorf("token %d characters long; it must be shown once", len(shown))
	}
}

func TestAnUnknownScheduleIsAnsweredOnThePageOfSchedules(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, "ada", enginePass)
	csrf := b.get(flagPages).csrf()
	r := b.send(
		"POST", flagPages+"/schedules/cancel", url.Values{"csrf": {csrf}, "id": {"none"}},
		nil,
	)
	r.wants(t, 404, "It was not cancelled", "look at the list", "Scheduled changes")
}

func TestAViewersFormIsRefusedAndKeptInTheAuditLog(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "grace", viewerPass)
	csrf := b.get(flagPages).csrf()
	for path, action := range map[string]string{
		"/edit": "flags-edit", "/save": "flags-edit", "/rollback": "flags-edit",
		"/import": "flags-edit", "/kill": "flag-kill", "/schedules": "flags-schedule",
		"/schedules/cancel": "flags-schedule-cancel", "/keys": "key-create",
	} {
		b.send("POST", flagPages+path, url.Values{"csrf": {"wrong"}}, nil).
			wants(t, 403, "from another session")
		before := refusals(t, st, action)
		b.send("POST", flagPages+path, url.Values{"csrf": {csrf}, "killed": {"true"}, "edit": {"{}"}}, nil).
			wants(t, 403, "sign in as an engineer")
		if after := refusals(t, st, action); after != before+1 {
			t.Errorf("%s: %d lines of %s, want %d", path, after, action, before+1)
		}
	}
}

func refusals(t *testing.T, st *running, action string) int {
	t.Helper()
	all, err := st.Control.Audit(t.Context(), workflows.AuditFilter{Limit: 200})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range all {
		if e.Actor == "grace" && e.Action == action && e.Result == "refused" {
			n++
		}
	}
	return n
}
