package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// What the documentation shows can be used as it stands, once its variables are set.
func TestTheDocumentedConfigurationLoads(t *testing.T) {
	t.Parallel()
	getenv := func(name string) string {
		switch {
		case strings.HasPrefix(name, "SWITCHYARD_"):
			return ""
		case name == "TARGET_REDIS_URL":
			return "rediss://user:password@redis.example.com:6380"
		case strings.HasSuffix(name, "REDIS_URL"):
			return "redis://:password@10.0.0.9:6379"
		case strings.HasSuffix(name, "_URL"):
			return "https://hooks.example.com/x"
		}
		return "whsec_" + strings.Repeat("QUFB", 8)
	}
	for _, doc := range []string{"configuration", "notifications"} {
		text, err := os.ReadFile("../docs/" + doc + ".md")
		if err != nil {
			t.Fatal(err)
		}
		blocks := yamlBlock.FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 {
			t.Errorf("%s: no block of YAML", doc)
		}
		for i, b := range blocks {
			text := b[1]
			for key, value := range map[string]string{
				"worker_token": "token",
				"source":       `{standalone: {url: "redis://127.0.0.1:6379"}}`,
				"ingestion":    "{url: http://127.0.0.1:3000}",
			} {
				if !strings.Contains("\n"+text, "\n"+key+":") { // a part of a whole
					text += key + ": " + value + "\n"
				}
			}
			if _, err := load(t, text, getenv); err != nil {
				t.Errorf("%s, block %d: %v", doc, i+1, err)
			}
		}
	}
}
