package migration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const canary = "hunter2-CANARY"

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	type holder struct {
		Name   string
		Secret Secret
		Many   []Secret
		By     map[string]Secret
		Ptr    *Secret
	}
	s := Secret(canary)
	h := holder{"x", s, []Secret{s}, map[string]Secret{"y": s}, &s}
	printed := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%c", "%U", "%e", "%10.3s", "%-30s|", "%z"} {
		printed["fmt "+verb] = fmt.Sprintf(verb, s)
		printed["fmt in a struct "+verb] = fmt.Sprintf(verb, h)
	}
	tooFew := "x"
	printed["fmt with an argument too many"] = fmt.Sprintf(tooFew, s) //nolint:staticcheck // the mistake is the test
	printed["fmt.Sprint"] = fmt.Sprint(s, &s, h)
	printed["error"] = fmt.Errorf("sign in with %s: %w", s, errors.New("refused")).Error()
	printed["Error"] = Errorf(Unavailable, "connect to %v", h).Error()
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	printed["json"] = string(b)
	if b, err = yaml.Marshal(h); err != nil {
		t.Fatal(err)
	}
	printed["yaml"] = string(b)
	if b, err = s.MarshalText(); err != nil {
		t.Fatal(err)
	}
	printed["text"] = string(b)
	var out bytes.Buffer
	for name, handler := range map[string]slog.Handler{"text": slog.NewTextHandler(&out, nil), "json": slog.NewJSONHandler(&out, nil)} {
		out.Reset()
		slog.New(handler).Info("x", "secret", s, "pointer", &s, "holder", h, slog.Group("g", "secret", s))
		printed["slog "+name] = out.String()
	}
	for way, text := range printed {
		hex := fmt.Sprintf("%x", canary)
		for _, leak := range []string{canary, "CANARY", "hunter2", hex, strings.ToUpper(hex)} {
			if strings.Contains(text, leak) {
				t.Errorf("%s printed the secret: %s", way, text)
			}
		}
	}
	for _, way := range []string{"fmt %s", "json", "yaml", "text", "slog text"} {
		if !strings.Contains(printed[way], "redacted") {
			t.Errorf("%s does not say that it is redacted: %s", way, printed[way])
		}
	}
}

func TestSecretIsReadLikeAStringAndRevealedOnRequest(t *testing.T) {
	t.Parallel()
	var fromJSON, fromYAML struct {
		S Secret `json:"s" yaml:"s"`
	}
	if err := json.Unmarshal([]byte(`{"s":"`+canary+`"}`), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte("s: "+canary), &fromYAML); err != nil {
		t.Fatal(err)
	}
	if fromJSON.S.Reveal() != canary || fromYAML.S.Reveal() != canary {
		t.Fatal("the value was lost")
	}
	if fromJSON.S.IsZero() || !Secret("").IsZero() {
		t.Fatal("IsZero is wrong")
	}
}
