package sentinel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Admission is what a server needs so that the sentinels can sign in to it, beside whoever can
// already. It holds no secret and can be stored as JSON.
type Admission string

// The kinds of admission.
const (
	AdmitNothing  Admission = "" // they are let in already
	AdmitPassword Admission = "password"
	AdmitUser     Admission = "user" // the server has no user of that name
)

// sentinelRights are those that Redis's documentation gives to a sentinel's user.
var sentinelRights = []any{"on", "allchannels", "+multi", "+slaveof", "+ping", "+exec",
	"+subscribe", "+config|rewrite", "+role", "+publish", "+info", "+client|setname",
	"+client|kill", "+script|kill"}

// AdmissionFor looks what a server of e lacks for the sentinels to have a name there.
// Blocked: it cannot be told, because the server keeps its users to itself.
func AdmissionFor(
	ctx context.Context, server redis.UniversalClient, e redisconn.Endpoint,
	as redisconn.Credentials,
) (Admission, error) {
	err := redisconn.TakesName(ctx, e, e.Address(), as)
	switch {
	case err == nil:
		return AdmitNothing, nil
	case !isReply(err):
		return AdmitNothing, err
	case as.Password.IsZero():
		return AdmitNothing, migration.Errorf(migration.Blocked, "the Sentinel deployment has no "+
			"password, and the server at %s requires one", e.Address())
	}
	user, err := server.Do(ctx, "ACL", "GETUSER", userOf(as)).Slice()
	switch {
	case errors.Is(err, redis.Nil):
		return AdmitUser, nil
	case err != nil:
		return AdmitNothing, aclError("GETUSER", err)
	case slices.Contains(passwordsOf(user), any(hashOf(as))):
		return AdmitNothing, migration.Errorf(migration.Blocked, "the server at %s has the "+
			"sentinels' password and does not let user %s name a connection (CLIENT SETNAME)",
			e.Address(), userOf(as))
	}
	return AdmitPassword, nil
}

// passwordsOf gives the hashes in an answer to ACL GETUSER.
func passwordsOf(user []any) []any {
	at := slices.Index(user, any("passwords"))
	if at < 0 || at+1 >= len(user) {
		return nil
	}
	hashes, _ := user[at+1].([]any)
	return hashes
}

// Admit lets the sentinels sign in to a server, so that their connections there have the
// names by which they are known. Whoever could sign in still can. It can run again.
func Admit(
	ctx context.Context, server redis.UniversalClient, as redisconn.Credentials, a Admission,
) error {
	rules := []any{"ACL", "SETUSER", userOf(as), "#" + hashOf(as)}
	switch a {
	case AdmitNothing:
		return nil
	case AdmitUser:
		rules = append(rules, sentinelRights...)
	case AdmitPassword:
	}
	if err := server.Do(ctx, rules...).Err(); err != nil {
		return aclError("SETUSER", err)
	}
	return keepUsers(ctx, server)
}

// Dismiss takes back what Admit did, and nothing else. It can run again.
func Dismiss(
	ctx context.Context, server redis.UniversalClient, as redisconn.Credentials, a Admission,
) error {
	var err error
	switch a {
	case AdmitNothing:
		return nil
	case AdmitUser:
		err = server.Do(ctx, "ACL", "DELUSER", userOf(as)).Err()
	case AdmitPassword:
		err = server.Do(ctx, "ACL", "SETUSER", userOf(as), "!"+hashOf(as)).Err()
		if err != nil && strings.Contains(err.Error(), "does not exist") {
			err = nil // the password is off already
		}
	}
	if err != nil {
		return aclError("SETUSER", err)
	}
	return keepUsers(ctx, server)
}

func userOf(as redisconn.Credentials) string {
	if as.User == "" {
		return "default"
	}
	return as.User
}

// hashOf is how a server stores a password, and repeats it in its errors.
func hashOf(as redisconn.Credentials) string {
	sum := sha256.Sum256([]byte(as.Password.Reveal()))
	return hex.EncodeToString(sum[:])
}

// aclError leaves out the server's own words, which repeat what it was sent. What it refuses
// is Blocked; a server that is not ready yet is not.
func aclError(what string, err error) error {
	switch {
	case !isReply(err):
		return fmt.Errorf("ACL %s: %w", what, redisconn.Explain(err))
	case strings.HasPrefix(err.Error(), "ERR"), strings.HasPrefix(err.Error(), "NOPERM"):
		return migration.Errorf(migration.Blocked, "the server does not let this user change who "+
			"may sign in (ACL %s)", what)
	}
	return migration.Errorf(migration.Unavailable, "the server does not carry out ACL %s now", what)
}

func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// keepUsers makes the users survive a restart, wherever this server keeps them.
func keepUsers(ctx context.Context, c redis.UniversalClient) error {
	settings, err := redisconn.Config(ctx, c, "aclfile")
	if err != nil {
		return fmt.Errorf("aclfile: %w", redisconn.Explain(err))
	}
	if settings["aclfile"] == "" {
		return rewrite(ctx, c)
	}
	if err := c.Do(ctx, "ACL", "SAVE").Err(); err != nil {
		return fmt.Errorf("ACL SAVE: %w", redisconn.Explain(err))
	}
	return nil
}
