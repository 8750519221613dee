package conform

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Each answer of the document has a form that can be judged by, and null has it nowhere.
func TestEveryAnswerOfTheContractHasAForm(t *testing.T) {
	t.Parallel()
	f, err := readForm()
	if err != nil {
		t.Fatal(err)
	}
	_, paths := f.at("paths")
	judged := 0
	for path, operations := range paths.(map[string]any) {
		for method := range operations.(map[string]any) {
			if method != "get" && method != "post" {
				continue
			}
			_, responses := f.at("paths", path, method, "responses")
			for status := range responses.(map[string]any) {
				n, err := strconv.Atoi(status)
				if err != nil {
					t.Fatal(err)
				}
				err = f.judge(strings.ToUpper(method), path, n, []byte("null"))
				_, schema := f.at("paths", path, method, "responses", status, "content")
				if schema != nil {
					judged++
				}
				if (err == nil) != (schema == nil) {
					t.Errorf("%s %s %s: %v", method, path, status, err)
				}
				if err != nil && !strings.Contains(err.Error(), "got null, want object") {
					t.Errorf("%s %s %s: %v", method, path, status, err)
				}
			}
		}
	}
	if judged < 15 {
		t.Errorf("%d answers have a form", judged)
	}
}

func TestAnAnswerThatIsNotInTheContractIsNamed(t *testing.T) {
	t.Parallel()
	f, err := readForm()
	if err != nil {
		t.Fatal(err)
	}
	event := `{"contract":2,"epoch":"e","instance":"i","next":1,"now":1,"events":[%]}`
	for _, tc := range []struct {
		method, path string
		status       int
		body, says   string
	}{
		{http.MethodGet, "/elsewhere", 200, "{}", "GET /elsewhere is not in the contract"},
		{http.MethodGet, "/switchyard/journal?after=0", 302, "{}", "answers 302, which is not"},
		{http.MethodGet, "/switchyard/journal", 200, "<html>", "without JSON: <html>"},
		{http.MethodGet, "/switchyard/journal", 200, "{}", "missing properties"},
		{http.MethodGet, "/switchyard/journal", 200, strings.Replace(event, "%",
			`{"seq":1,"at":1,"type":"closed"}`, 1), ""},
		{http.MethodGet, "/switchyard/journal", 200, strings.Replace(event, "%",
			`{"seq":1,"at":1,"type":"kept"}`, 1), "/events/0: missing property 'order'"},
		{http.MethodGet, "/switchyard/journal", 200, strings.Replace(event, "%",
			`{"seq":1,"at":1,"type":"delivery","order":"o","status":20}`, 1),
			"/events/0/status: minimum: got 20, want 100"},
	} {
		err := f.judge(tc.method, tc.path, tc.status, []byte(tc.body))
		if tc.says == "" && err != nil || tc.says != "" && (err == nil ||
			!strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s %s %d %s: %v", tc.method, tc.path, tc.status, tc.body, err)
		}
	}
}
