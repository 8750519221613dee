package audit

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
)

// facts is everything that was read from one server. Whatever is denied has its
// reason in an error text.
type facts struct {
	address     string
	tls         *tls.ConnectionState // of a connection to it; nil without TLS
	tlsErr      string               // why the connection's certificate is unknown
	info        map[string]string
	config      map[string]string // settings by name, only those that checks read
	configErr   string
	openDefault bool // clients are accepted without a password
	openErr     string
	users       int      // in the access control list
	openUsers   []string // users besides the default one that need no password
	usersErr    string
	slow        []redis.SlowLog
	slowErr     string
	spikes      []spike
	spikesErr   string
	answer      time.Duration // median of PING
	local       *kernel       // nil if the server is not on this machine
	scan        *scan
	census      *bullmq.Survey
	censusNote  string
}

// spike is one line of LATENCY LATEST.
type spike struct {
	event string
	max   time.Duration // since the server started
	at    int64         // Unix time of the last one
}

// kernel holds the settings of the server's machine.
type kernel struct {
	overcommit string // vm.overcommit_memory
	hugePages  string // the selected word of transparent_hugepage/enabled
}

// number reads a number from INFO.
func (f *facts) number(name string) (int64, bool) {
	n, err := strconv.ParseInt(f.info[name], 10, 64)
	return n, err == nil
}

// setting reads a number from the configuration.
func (f *facts) setting(name string) (int64, bool) {
	n, err := strconv.ParseInt(f.config[name], 10, 64)
	return n, err == nil
}

func (f *facts) version() string {
	if v := f.info["valkey_version"]; v != "" {
		return v
	}
	return f.info["redis_version"]
}

// expiring returns how many keys have an expiry, in all databases; -1 when the
// server does not say.
func (f *facts) expiring() int64 {
	sum := int64(0)
	for k, v := range f.info {
		if !strings.HasPrefix(k, "db") || !strings.HasPrefix(v, "keys=") {
			continue
		}
		_, rest, ok := strings.Cut(v, "expires=")
		n, _, _ := strings.Cut(rest, ",")
		count, err := strconv.ParseInt(n, 10, 64)
		if !ok || err != nil {
			return -1
		}
		sum += count
	}
	return sum
}

// listens returns where the server accepts connections: "loopback", "private"
// (addresses of private networks), "everywhere", or "" when it does not say.
func (f *facts) listens() string {
	bind, known := f.config["bind"]
	if !known {
		return ""
	}
	where := "loopback"
	addresses := strings.Fields(bind)
	if len(addresses) == 0 {
		return "everywhere"
	}
	for _, a := range addresses {
		a = strings.TrimPrefix(a, "-")
		ip := net.ParseIP(a)
		switch {
		case loopback(a):
		case ip != nil && ip.IsPrivate():
			where = "private"
		default:
			return "everywhere"
		}
	}
	return where
}

// loopback reports whether an address, or a host:port, is this machine's own.
func loopback(address string) bool {
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	ip := net.ParseIP(strings.Trim(address, "[]"))
	return address == "localhost" || ip != nil && ip.IsLoopback()
}

// noConfig is the outcome for a setting that cannot be read.
func (f *facts) noConfig(name string) outcome {
	if f.configErr != "" {
		return unknown("%s is unknown: %s", name, f.configErr)
	}
	return unknown("the server has no setting %s", name)
}

// set makes a Setting from the current value.
func (f *facts) set(name, to string) Setting {
	return Setting{Name: name, From: f.config[name], To: to}
}

// upFor says since when counters have been counting. CONFIG RESETSTAT also resets
// them, but the server does not say when.
func (f *facts) upFor() string {
	n, ok := f.number("uptime_in_seconds")
	if !ok {
		return "since the counters were last set to 0"
	}
	d := time.Duration(n) * time.Second
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("since it started %d s ago", n)
	case d < 2*time.Hour:
		return fmt.Sprintf("since it started %d min ago", n/60)
	case d < 48*time.Hour:
		return fmt.Sprintf("since it started %d h ago", n/3600)
	}
	return fmt.Sprintf("since it started %d days ago", n/86400)
}

// counter judges a count that has to be 0.
func (f *facts) counter(name, what string) outcome {
	switch n, known := f.number(name); {
	case !known:
		return noInfo(name)
	case n > 0:
		return problem("%d %s %s", n, what, f.upFor())
	}
	return ok("0 %s %s", what, f.upFor())
}

// infoField reads a number from an INFO line such as "calls=3,usec=7".
func infoField(line, name string) int64 {
	for f := range strings.SplitSeq(line, ",") {
		if v, ok := strings.CutPrefix(f, name+"="); ok {
			var n int64
			_, _ = fmt.Sscanf(v, "%d", &n)
			return n
		}
	}
	return 0
}

func (f *facts) hasPrefix(prefix string) bool {
	for k := range f.info {
		if strings.HasPrefix(k, prefix) {
			return true
		}
	}
	return false
}

func infoText(line, name string) string {
	for f := range strings.SplitSeq(line, ",") {
		if v, ok := strings.CutPrefix(f, name+"="); ok {
			return v
		}
	}
	return ""
}

// noCensus returns the outcome for when there is no census, and whether that is so.
func (f *facts) noCensus() (outcome, bool) {
	if f.census != nil {
		return outcome{}, false
	}
	note := f.censusNote
	if note == "" {
		note = "no census was taken"
	}
	return unknown("%s", note), true
}
