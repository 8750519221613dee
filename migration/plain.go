package migration

import (
	"regexp"
	"strings"
)

// lowLevel is how the standard library and the drivers write what went wrong, and what a person is
// told instead. The order matters: a rule sees what those before it have left.
var lowLevel = []struct {
	raw   *regexp.Regexp
	words string
}{
	// net/http names the method and the whole address, which may hold a key.
	{regexp.MustCompile(`\b(?:Get|Post|Put|Patch|Head|Delete) "[^"]*": `), ""},
	{regexp.MustCompile(`(?s)(?:failed to connect to|cannot connect to database).*`),
		"the database does not answer"},
	{regexp.MustCompile(`(?:ERROR|FATAL|PANIC): [^\n]*\(SQLSTATE \w+\)`),
		"the database refused it"},
	{regexp.MustCompile(` ?\(SQLSTATE \w+\)`), ""},
	{regexp.MustCompile(`\bpq: .*`), "the database refused it"},
	{regexp.MustCompile(`(?:database|database table) is locked(?: \(\d+\))?` +
		`(?: \(SQLITE_\w+\))?`), "the database is busy"},
	{regexp.MustCompile(`\bSQL logic error: [^\n]*\(SQLITE_\w+\)|` +
		`\b[\w ]+ \(\d+\) \(SQLITE_\w+\)|\bSQLITE_\w+`),
		"the database refused it"},
	{regexp.MustCompile(`\b(?:sql: database is closed|driver: bad connection|` +
		`sql: connection is already closed|conn closed|closed pool)`),
		"the database does not answer"},
	{regexp.MustCompile(`(?:\bdial (?:tcp|udp)[46]?: )?\blookup (\S+?)(?: on \S+)?: ` +
		`no such host`), "the host name $1 is unknown"},
	{regexp.MustCompile(`\b(?:dial|read|write) (?:tcp|udp|unix)[46]? (?:\S+->)?(\S+?): ` +
		`(?:connect: )?connection refused`), "connection refused by $1"},
	{regexp.MustCompile(`\b(?:dial|read|write) (?:tcp|udp|unix)[46]? (?:\S+->)?(\S+?): ` +
		`(?:i/o timeout|(?:connect: )?connection timed out|context deadline exceeded|` +
		`operation was canceled)`), "no answer from $1 in time"},
	{regexp.MustCompile(`\b(?:dial|read|write) (?:tcp|udp|unix)[46]? (?:\S+->)?(\S+?): ` +
		`(?:(?:connect|read|write|getsockopt): )?(?:connection reset by peer|broken pipe|` +
		`no route to host|network is unreachable|use of closed network connection|EOF|` +
		`no such file or directory|[\w ]+)`), "the connection to $1 failed"},
	{regexp.MustCompile(`\bcontext deadline exceeded(?: \([^)]*\))?|\bi/o timeout` +
		`(?: \([^)]*\))?|\bnet/http: request canceled(?: \([^)]*\))?|` +
		`\bnet/http: TLS handshake timeout|\bredis: connection pool timeout`),
		"no answer in time"},
	{regexp.MustCompile(`\bcontext canceled\b`), "interrupted"},
	{regexp.MustCompile(`\b(?:unexpected )?EOF\b|\bconnection reset by peer\b|` +
		`\bbroken pipe\b|\buse of closed network connection\b|\bredis: client is closed\b`),
		"the connection broke off"},
}

// Plain is a text with everything in words that it quotes of errors which only a program
// understands. Those belong in a log.
func Plain(text string) string {
	for _, q := range lowLevel {
		text = q.raw.ReplaceAllString(text, q.words)
	}
	return strings.TrimSpace(text)
}

// PlainError is Plain for an error; "" for none.
func PlainError(err error) string {
	if err == nil {
		return ""
	}
	return Plain(err.Error())
}
