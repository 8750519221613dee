package deploy

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"
	"text/template"

	"github.com/goccy/go-yaml"

	"github.com/switchyard-dev/switchyard/migration"
)

//go:embed templates
var files embed.FS

var templates = template.Must(template.ParseFS(files, "templates/*"))

// File is one file to write. Secret files must only be readable by their owner.
type File struct {
	Path   string // relative, with slashes
	Text   []byte
	Secret bool
}

// page is what a template sees.
type page struct {
	Spec              Spec
	Host, Primary     Host
	Replica, Sentinel string // passwords, or placeholders
	TLSDir            string
	Names             bool // some address is a DNS name
	MaxLag            int
	DownAfterMS       int64
	FailoverTimeoutMS int64
	RestartSeconds    int
	Sets              []set // of the Kubernetes manifests
}

// set is a StatefulSet.
type set struct {
	Name    string
	Count   int
	Port    int
	Storage string
}

// Generate returns every file of the deployment except the certificates, in a fixed
// order. The same Spec gives the same files.
func Generate(s Spec) ([]File, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	spec, err := yaml.Marshal(s)
	if err != nil {
		return nil, err
	}
	s = s.withDefaults()
	out := []File{
		{"README.md", render("README.md", s.page(Host{})), false},
		{"deployment.yaml", spec, false},
		{"secrets.env", s.env(), true},
	}
	for _, h := range s.Hosts {
		p := s.page(h)
		dir := "hosts/" + h.Name + "/"
		if h.Data() {
			out = append(out, File{dir + "redis.conf", render("redis.conf", p), true},
				File{dir + "users.acl", s.dataACL(), true},
				File{dir + "switchyard-redis.service", render("redis.service", p), false})
		}
		if h.Has(Sentinel) {
			out = append(out, File{dir + "sentinel.conf", render("sentinel.conf", p), true},
				File{dir + "sentinel-users.acl", s.sentinelACL(), true},
				File{dir + "switchyard-sentinel.service", render("sentinel.service", p), false})
		}
		out = append(out, File{dir + "compose.yaml", render("compose.yaml", p), false})
	}
	manifests, err := s.kubernetes()
	if err != nil {
		return nil, err
	}
	return append(out, manifests...), nil
}

func (s Spec) page(h Host) page {
	p := page{Spec: s, Host: h, Primary: s.DataHosts()[0], MaxLag: maxLag,
		DownAfterMS:       DownAfter.Milliseconds(),
		FailoverTimeoutMS: FailoverTimeout.Milliseconds(),
		RestartSeconds:    int(RestartDelay.Seconds()), TLSDir: s.TLSDir,
		Replica:  orPlaceholder(s.Secrets.Replica, "REDIS_REPLICA_PASSWORD"),
		Sentinel: orPlaceholder(s.Secrets.Sentinel, "REDIS_SENTINEL_PASSWORD"),
		Names: slices.ContainsFunc(s.Hosts, func(h Host) bool {
			return net.ParseIP(h.Address) == nil
		})}
	if p.TLSDir == "" {
		p.TLSDir = h.Dir + "/tls"
	}
	return p
}

func render(name string, p page) []byte {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, p); err != nil {
		panic(err) // the templates are part of the program; a validated Spec renders
	}
	return b.Bytes()
}

func orPlaceholder(secret migration.Secret, name string) string {
	if secret.IsZero() {
		return "${" + name + "}"
	}
	return secret.Reveal()
}

// user is one line of an access control list. Such a file cannot contain comments;
// README.md says what the users are for.
func user(name string, secret migration.Secret, placeholder, rights string) string {
	hash := ">${" + placeholder + "}"
	if !secret.IsZero() {
		sum := sha256.Sum256([]byte(secret.Reveal()))
		hash = "#" + hex.EncodeToString(sum[:])
	}
	return fmt.Sprintf("user %s on %s %s\n", name, hash, rights)
}

func (s Spec) dataACL() []byte {
	return []byte("user default off\n" +
		user("switchyard", s.Secrets.Admin, "REDIS_ADMIN_PASSWORD", "~* &* +@all") +
		// BullMQ sends INFO on connect and CLIENT LIST to find its workers; ioredis
		// sends ROLE behind Sentinel.
		user("app", s.Secrets.App, "REDIS_APP_PASSWORD", "~* &* +@all -@admin -@dangerous "+
			"+info +role +client|list +client|setname +client|info") +
		user("replica", s.Secrets.Replica, "REDIS_REPLICA_PASSWORD",
			"resetkeys resetchannels -@all +psync +replconf +ping") +
		// redis.io/docs: "Redis Access Control List authentication" of Sentinel.
		user("sentinel", s.Secrets.Sentinel, "REDIS_SENTINEL_PASSWORD", "resetkeys allchannels "+
			"-@all +multi +slaveof +ping +exec +subscribe +config|rewrite +role +publish +info "+
			"+client|setname +client|kill +script|kill"))
}

func (s Spec) sentinelACL() []byte {
	return []byte("user default off\n" +
		user("switchyard", s.Secrets.Admin, "REDIS_ADMIN_PASSWORD", "~* &* +@all") +
		user("app", s.Secrets.App, "REDIS_APP_PASSWORD", "resetkeys allchannels -@all +ping "+
			"+info +role +hello +auth +client|setname +subscribe +psubscribe +unsubscribe "+
			"+punsubscribe +sentinel|get-master-addr-by-name +sentinel|sentinels "+
			"+sentinel|replicas +sentinel|slaves +sentinel|master +sentinel|masters") +
		user("sentinel", s.Secrets.Sentinel, "REDIS_SENTINEL_PASSWORD", "resetkeys allchannels "+
			"-@all +ping +info +publish +subscribe +client|setname +sentinel|is-master-down-by-addr"))
}

// env holds the passwords for the applications and for whoever fills in
// placeholders.
func (s Spec) env() []byte {
	var b strings.Builder
	b.WriteString("# Passwords of the deployment. Keep this file where secrets are kept.\n")
	for _, v := range []struct {
		name string
		s    migration.Secret
	}{
		{"REDIS_ADMIN_PASSWORD", s.Secrets.Admin},
		{"REDIS_APP_PASSWORD", s.Secrets.App},
		{"REDIS_REPLICA_PASSWORD", s.Secrets.Replica},
		{"REDIS_SENTINEL_PASSWORD", s.Secrets.Sentinel},
	} {
		fmt.Fprintf(&b, "%s=%s\n", v.name, v.s.Reveal())
	}
	return []byte(b.String())
}

// kubernetes returns the manifests: the configuration of every pod in one Secret,
// since it contains passwords, and the rest.
func (s Spec) kubernetes() ([]File, error) {
	k := s
	k.TLSDir = "/tls"
	k.Hosts = nil
	pod := func(kind string, i int, roles ...Role) Host {
		return Host{Name: fmt.Sprintf("%s-%d", kind, i),
			Address: fmt.Sprintf("%s-%d.%s.%s.svc.cluster.local", kind, i, kind, s.Namespace),
			Roles:   roles, Zone: "chosen by Kubernetes",
			RedisPort: 6379, SentinelPort: 26379, Bind: "* -::*", Dir: "/data"}
	}
	for i := range s.DataHosts() {
		role := Replica
		if i == 0 {
			role = Master
		}
		k.Hosts = append(k.Hosts, pod("redis", i, role))
	}
	for i := range s.SentinelHosts() {
		k.Hosts = append(k.Hosts, pod("sentinel", i, Sentinel))
	}
	data := yaml.MapSlice{
		{Key: "users.acl", Value: string(k.dataACL())},
		{Key: "sentinel-users.acl", Value: string(k.sentinelACL())},
	}
	for _, h := range k.Hosts {
		name := "redis.conf"
		if h.Has(Sentinel) {
			name = "sentinel.conf"
		}
		data = append(data,
			yaml.MapItem{Key: h.Name + ".conf", Value: string(render(name, k.page(h)))})
	}
	secret, err := yaml.MarshalWithOptions(yaml.MapSlice{{Key: "apiVersion", Value: "v1"},
		{Key: "kind", Value: "Secret"},
		{Key: "metadata", Value: yaml.MapSlice{
			{Key: "name", Value: "redis-config"},
			{Key: "namespace", Value: s.Namespace},
		}},
		{Key: "stringData", Value: data}}, yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return nil, err
	}
	p := k.page(Host{})
	p.Sets = []set{
		{"redis", len(k.DataHosts()), 6379, "10Gi"},
		{"sentinel", len(k.SentinelHosts()), 26379, "1Gi"},
	}
	return []File{
		{"kubernetes/redis.yaml", render("kubernetes.yaml", p), false},
		{"kubernetes/secret.yaml", secret, true},
	}, nil
}
