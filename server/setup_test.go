package server

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

const setupPath = "/m/" + mid + "/setup"

// tested waits until no test is under way.
func (b *browser) tested() response {
	b.t.Helper()
	return b.until(setupPath, func(r response) bool {
		return r.there("#test-all") && !r.there("#test-all[disabled]")
	})
}

// states gives the states of the findings with a key.
func (r response) states(key string) string {
	var out []string
	for _, n := range r.find(`[data-key="` + key + `"]`).EachIter() {
		out = append(out, n.AttrOr("data-state", ""))
	}
	return strings.Join(out, " ")
}

// A source whose user may not ask what it may do, an app that is not there, no Sentinel.
func TestTheSetUpIsAskedWhenAnEngineerWantsItAndShowsEachStateAndNoSecret(t *testing.T) {
	t.Parallel()
	st := serveOn(t, func(c *config.Config) {
		c.DatabaseURL = ""
		c.Source.Machines, c.Source.Standalone.Machine.Label = "by-hand", "redis-prod"
		c.Linode.Token = ""
	})
	ada, grace := st.browser(t, "ada", enginePass), st.browser(t, "grace", viewerPass)

	r := ada.get(setupPath)
	r.wants(t, http.StatusOK, "Not tested yet", "not yet", "Test everything")
	if r.there("[data-key]") || r.there(`[data-criterion] [data-tone="ok"]`) {
		t.Error("a page that is opened asks, or says that something is there")
	}
	if r := grace.get(setupPath); r.buttons().Length() > 0 || r.there("#url") {
		t.Error("a viewer can test")
	}
	if st.askedForRights(t) {
		t.Error("opening the page asked the source")
	}

	r = ada.submit(r, "test-all", nil)
	if r.path != setupPath || r.status != http.StatusOK {
		t.Errorf("%d at %s", r.status, r.path)
	}
	r = ada.tested()
	for key, want := range map[string]string{
		"data_dir": "ok", "source.standalone.url": "ok ok", "source.machines": "ok",
		"source.sentinel": "absent", "target.upstash": "fails", "ingestion.url": "fails",
		"queues": "fails", "stripe.key": "absent", "shopify.token": "absent",
		"clickfunnels.token": "absent", "notifications": "ok ok",
	} {
		if got := r.states(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if !strings.Contains(r.find(`[data-criterion="circuit-breaker"]`).Text(),
		"ingestion.url") {
		t.Errorf("a criterion does not name what it lacks: %s", r.find("#criteria").Text())
	}
	for key, want := range map[string]string{
		"worker_token": "set (in the configuration file)", "database_url": "not set",
	} {
		if got := r.find(`[data-secret="` + key + `"] td`).Text(); got != want {
			t.Errorf("secret %s: %q", key, got)
		}
	}
	if r := grace.get(setupPath); r.states("data_dir") != "ok" || !says(r.text, "by ada") {
		t.Error("a viewer does not see what was found, and who asked")
	}

	// One part by itself, from which a right was taken.
	if err := st.redis.Client().Do(t.Context(), "ACL", "SETUSER", "default", "-acl").Err(); err != nil {
		t.Fatal(err)
	}
	ada.submit(r, "test-standalone", nil)
	r = ada.tested()
	if got := r.states("source.standalone.url"); got != "ok unknown" {
		t.Errorf("without ACL WHOAMI: %q", got)
	}
	if !st.askedForRights(t) {
		t.Error("the source does not count what it is asked, so that nothing was shown above")
	}
	if text := r.text + st.logs.String() + ada.get("/m/"+mid+"/audit").text; strings.Contains(text, canary) {
		t.Error("a secret is on the page, in the log or in the audit log")
	}
	all, err := st.as(t, "grace", viewerPass).Setup(t.Context(), mid)
	if err != nil || len(all.Parts) < 14 || all.Test != nil || strings.Contains(fmt.Sprint(all), canary) {
		t.Errorf("%+v %v", all, err)
	}
}

// askedForRights reports whether the source was asked what a user may do, which only a test does.
func (st *running) askedForRights(t *testing.T) bool {
	t.Helper()
	stats, err := st.redis.Client().Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(stats, "cmdstat_acl|dryrun")
}

func TestOnlyAnEngineerTestsTheSetUpFromItsOwnPageAndOneTestAtATime(t *testing.T) {
	t.Parallel()
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	st := serveOn(t, func(c *config.Config) { c.Ingestion.URL = "http://" + silent.Addr().String() })
	ada, grace := st.browser(t, "ada", enginePass), st.browser(t, "grace", viewerPass)
	token := func(b *browser) url.Values { return url.Values{"csrf": {b.get(setupPath).csrf()}} }
	for _, path := range []string{setupPath, setupPath + "/address"} {
		form := token(grace)
		form.Set("address", st.redis.URL())
		if r := grace.send("POST", path, form, nil); r.status != http.StatusForbidden {
			t.Errorf("a viewer at %s: %d", path, r.status)
		}
		if r := ada.send("POST", path, url.Values{}, nil); r.status != http.StatusForbidden {
			t.Errorf("%s without a token: %d", path, r.status)
		}
	}
	if r := ada.send("POST", setupPath, url.Values{"csrf": token(ada)["csrf"],
		"part": {canary}}, nil); r.status != http.StatusNotFound || strings.Contains(r.text, canary) {
		t.Errorf("a part that there is not: %d", r.status)
	}
	ada.submit(ada.get(setupPath), "test-app", nil)
	r := ada.get(setupPath)
	if !r.there("#test-all[disabled]") || r.find(`#part-app [data-tone="run"]`).Length() != 1 {
		t.Error("the test under way is not shown")
	}
	r = ada.send("POST", setupPath, token(ada), nil)
	r.wants(t, http.StatusConflict, "test by ada is under way")
	_ = silent.Close() // ends the test
	ada.tested()
	log := ada.get("/m/" + mid + "/audit").text
	if !says(log, "set-up: Journals", "grace", "read-only access") {
		t.Errorf("the audit log: %s", log)
	}
}

func TestAnAddressIsTestedAndNeverRepeated(t *testing.T) {
	t.Setenv("SETUP_TEST_REDIS_URL", "redis://nobody:"+canary+"@127.0.0.1:1")
	st := serve(t)
	if err := st.redis.Client().Do(t.Context(), "ACL", "SETUSER", "app", "on", ">"+canary+"-app",
		"~*", "&*", "+@all", "-config|set", "-replicaof").Err(); err != nil {
		t.Fatal(err)
	}
	other, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	page := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("internal-page"))
	})}
	go func() { _ = page.Serve(other) }()
	t.Cleanup(func() { _ = page.Close() })
	ada := st.browser(t, "ada", enginePass)
	for _, tc := range []struct {
		rule, given string
		status      int
		states      map[string]string
		says        []string
	}{
		{"a user with two rights less", fmt.Sprintf("redis://app:%s-app@%s", canary, st.redis.Addr()),
			200, map[string]string{"reachable": "ok", "tls": "absent", "version": "ok", "role": "ok",
				"eviction_policy": "fails", "rights": "fails"},
			[]string{"ACL SETUSER app +config|set +replicaof", "allkeys-lru", st.redis.Addr()}},
		{"a variable", "SETUP_TEST_REDIS_URL", 200, map[string]string{"reachable": "fails"},
			[]string{"nothing listens", "127.0.0.1:1"}},
		{"a wrong password", fmt.Sprintf("redis://app:%s-other@%s", canary, st.redis.Addr()), 200,
			map[string]string{"reachable": "fails"}, []string{"wrong password"}},
		{"another kind of server", "redis://:" + canary + "@" + other.Addr().String(), 200,
			map[string]string{"reachable": "fails"}, []string{"does not answer as Redis does"}},
		{"no TLS there", "rediss://:" + canary + "@" + st.redis.Addr(), 200,
			map[string]string{"reachable": "fails"}, nil},
		{"no such variable", "CANARY_VARIABLE", 400, nil, []string{"has no variable of that name"}},
		{"another protocol", "http://" + canary + "@" + other.Addr().String(), 400, nil,
			[]string{"not a redis:// URL"}},
		{"nothing", "", 400, nil, []string{"it is empty"}},
		{"an odd password", "redis://:" + canary + "/x@" + st.redis.Addr(), 400, nil, nil},
	} {
		r := ada.submit(ada.get(setupPath), "test-address", map[string]string{"address": tc.given})
		if r.status != tc.status || tc.status == 200 && r.path != setupPath {
			t.Errorf("%s: %d at %s", tc.rule, r.status, r.path)
		}
		for key, want := range tc.states {
			if got := r.find(`#address [data-key="`+key+`"]`).AttrOr("data-state", ""); got != want {
				t.Errorf("%s: %s is %q, want %q\n%s", tc.rule, key, got, want, r.find("#address").Text())
			}
		}
		if !says(r.text, tc.says...) {
			t.Errorf("%s: %s\n%s", tc.rule, r.find("#notice").Text(), r.find("#address").Text())
		}
		for _, word := range []string{canary, "CANARY_VARIABLE", "internal-page"} {
			if strings.Contains(r.text+r.header.Get("Location")+st.logs.String(), word) {
				t.Errorf("%s: %s is repeated", tc.rule, word)
			}
		}
	}
	log := ada.get("/m/" + mid + "/audit").text
	if !says(log, st.redis.Addr(), "127.0.0.1:1") || strings.Contains(log, canary) {
		t.Error("the audit log must name what was asked, and no credential")
	}
	a, err := st.as(t, "ada", enginePass).TestAddress(t.Context(), mid,
		migration.Secret(os.Getenv("SETUP_TEST_REDIS_URL")))
	if err != nil || len(a.Findings) != 1 || a.Findings[0].State != workflows.SetupFails ||
		len(a.Findings[0].Criteria) == 0 {
		t.Errorf("%+v %v", a, err)
	}
}
