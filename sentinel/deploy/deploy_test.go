package deploy_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/sentinel/deploy"
)

const ok = `
master_name: orders
hosts:
  - { name: a, address: 192.0.2.1, zone: rack-1, roles: [master, sentinel] }
  - { name: b, address: 192.0.2.2, zone: rack-2, roles: [replica, sentinel] }
  - { name: c, address: redis-c.example.com, zone: rack-3, roles: [replica, sentinel] }
`

func parse(t *testing.T, text string) deploy.Spec {
	t.Helper()
	s, err := deploy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGenerateRefusesWhatCouldNotWorkAndSaysWhy(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ rule, from, to, says string }{
		{"one replica needs a decision", "roles: [replica, sentinel] }\n  - { name: c",
			"roles: [sentinel] }\n  - { name: c", "say what matters more"},
		{"an address is used once", "192.0.2.2", "192.0.2.1", "fail together"},
		{"three sentinels", "zone: rack-3, roles: [replica, sentinel]",
			"zone: rack-3, roles: [replica]", "got 2"},
		{"one master", "roles: [replica, sentinel] }\n  - { name: c",
			"roles: [master, sentinel] }\n  - { name: c", "exactly one"},
		{"the loss of a zone leaves a majority", "rack-3", "rack-2",
			"1 of 3 sentinels are left, 2 are needed"},
		{"a zone is needed", "zone: rack-3", "zone: ''", "expected the failure domain"},
		{"loopback is not reachable", "192.0.2.2", "127.0.0.1",
			"not reachable from another host"},
		{"a known role", "[replica, sentinel] }\n  - { name: c",
			"[slave, sentinel] }\n  - { name: c", "is not master, replica or sentinel"},
		{"no port in an address", "192.0.2.2", "'192.0.2.2:6379'", "has no port"},
		{"memory as Redis writes it", "master_name: orders", "max_memory: lots",
			"is not a size such as 768mb"},
		{"no directive smuggled in by a path", "master_name: orders",
			"tls_dir: \"/x\\nrequirepass y\"", "absolute path"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(ok, tc.from, tc.to, 1)
			if text == ok {
				t.Fatal("the case changes nothing")
			}
			_, err := deploy.Generate(parse(t, text))
			if migration.KindOf(err) != migration.Invalid ||
				!strings.Contains(fmt.Sprint(err), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
	if _, err := deploy.Parse([]byte("hosts: []\nport: 1\n")); migration.KindOf(err) !=
		migration.Invalid {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestGenerateIsCompleteStableAndKeepsSecretsInSecretFiles(t *testing.T) {
	t.Parallel()
	s := parse(t, ok)
	s.Secrets = deploy.Secrets{Admin: "secret-of-the-admin", App: "secret-of-the-app",
		Replica: "secret-of-the-replica", Sentinel: "secret-of-the-sentinel"}
	files, err := deploy.Generate(s)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := deploy.Generate(s)
	got := map[string]string{}
	for i, f := range files {
		got[f.Path] = string(f.Text)
		if string(f.Text) != string(again[i].Text) {
			t.Errorf("%s differs the second time", f.Path)
		}
		if !f.Secret && strings.Contains(string(f.Text), "secret-of-") {
			t.Errorf("%s holds a password and is not marked as secret", f.Path)
		}
		if strings.HasSuffix(f.Path, ".acl") && strings.Contains(string(f.Text), "secret-of-") {
			t.Errorf("%s holds a password instead of its hash", f.Path)
		}
		if strings.HasSuffix(f.Path, ".yaml") {
			for doc := range strings.SplitSeq(string(f.Text), "\n---\n") {
				var v map[string]any
				if err := yaml.Unmarshal([]byte(doc), &v); err != nil {
					t.Errorf("%s: %v", f.Path, err)
				}
			}
		}
	}
	for _, path := range []string{"README.md", "secrets.env", "hosts/a/redis.conf",
		"hosts/a/users.acl", "hosts/a/switchyard-redis.service", "hosts/b/sentinel.conf",
		"hosts/b/sentinel-users.acl",
		"hosts/b/switchyard-sentinel.service", "hosts/c/compose.yaml", "kubernetes/redis.yaml",
		"kubernetes/secret.yaml"} {
		if got[path] == "" {
			t.Errorf("%s is missing", path)
		}
	}
	var secret struct {
		StringData map[string]string `yaml:"stringData"`
	}
	if err := yaml.Unmarshal([]byte(got["kubernetes/secret.yaml"]), &secret); err != nil {
		t.Fatal(err)
	}
	if c := secret.StringData["redis-1.conf"]; !strings.Contains(c,
		"\nreplicaof redis-0.redis.redis.svc.cluster.local 6379\n") ||
		!strings.Contains(c, "\ndir /data\n") {
		t.Errorf("the second pod: %s", c)
	}
	if !strings.Contains(got["hosts/a/sentinel.conf"], "resolve-hostnames yes") {
		t.Error("an address is a name, and the sentinel does not look names up")
	}
}

func TestAPasswordThatIsNotGivenIsAPlaceholder(t *testing.T) {
	t.Parallel()
	files, err := deploy.Generate(parse(t, ok))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Path == "hosts/b/users.acl" &&
			!strings.Contains(string(f.Text), "user app on >${REDIS_APP_PASSWORD} ") {
			t.Errorf("%s", f.Text)
		}
		if f.Path == "hosts/b/redis.conf" &&
			!strings.Contains(string(f.Text), "masterauth ${REDIS_REPLICA_PASSWORD}\n") {
			t.Errorf("%s", f.Text)
		}
	}
	s := parse(t, ok)
	s.Secrets.App = "with space and more"
	if _, err := deploy.Generate(s); err == nil || strings.Contains(err.Error(), "with space") {
		t.Errorf("a password that breaks the configuration: %v", err)
	}
}

func TestCertificatesAreForTheHostAndVerify(t *testing.T) {
	t.Parallel()
	files, err := deploy.Certificates(parse(t, ok), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	for _, f := range files {
		got[f.Path] = f.Text
		if strings.HasSuffix(f.Path, ".key") != f.Secret {
			t.Errorf("%s: secret %v", f.Path, f.Secret)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(got["tls/ca.crt"])
	for dir, name := range map[string]string{"a": "192.0.2.1", "c": "redis-c.example.com",
		"kubernetes": "redis-2.redis.redis.svc.cluster.local"} {
		pair, err := tls.X509KeyPair(got["tls/"+dir+"/redis.crt"], got["tls/"+dir+"/redis.key"])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots,
			DNSName: name}); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
