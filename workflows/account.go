package workflows

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/switchyard-dev/switchyard/migration"
)

const (
	sessionLife = 12 * time.Hour
	sessionIdle = 30 * time.Minute
	// failuresAllowed per account and per address within failureWindow; then sign-in pauses
	// for them.
	failuresAllowed = 10
	failureWindow   = 15 * time.Minute
)

// argon2id parameters: OWASP's second recommendation (19 MiB, 2 passes), about 30 ms here.
const (
	argonTime, argonMemory, argonThreads, argonKey = 2, 19 * 1024, 1, 32
)

func hashPassword(password string) string {
	var salt [16]byte
	_, _ = rand.Read(salt[:]) // never fails, by its documentation
	key := argon2.IDKey([]byte(password), salt[:], argonTime, argonMemory, argonThreads, argonKey)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf(
		"$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version,
		argonMemory,
		argonTime,
		argonThreads,
		b64.EncodeToString(salt[:]),
		b64.EncodeToString(key),
	)
}

func checkPassword(encoded, password string) bool {
	var version int
	var memory, passes uint32
	var threads uint8
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 {
		return false
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d",
		&version, &memory, &passes, &threads); err != nil {
		return false
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(want) == 0 {
		return false
	}
	size := uint32(len(want)) //nolint:gosec // our own hash, of 32 bytes
	key := argon2.IDKey([]byte(password), salt, passes, memory, threads, size)
	return subtle.ConstantTimeCompare(key, want) == 1
}

// nobody's password is checked for unknown names, so that they take as long as known ones.
var nobody = hashPassword("nobody signs in with this")

// SignIn checks a password and gives a session token. remote is where the attempt comes
// from. Failures are counted per account and per address and survive a restart; too many
// give Unavailable until the window passes.
func (c *Control) SignIn(
	ctx context.Context,
	name, password, remote string,
) (string, migration.Actor, error) {
	refused := migration.Errorf(migration.Unauthenticated, "wrong name or password")
	subjects := []string{"user " + name, "from " + remote}
	for _, s := range subjects {
		n, err := c.store.SignInFailures(ctx, s, c.now().Add(-failureWindow))
		if err != nil {
			return "", migration.Actor{}, err
		}
		if n >= failuresAllowed {
			return "", migration.Actor{}, migration.Errorf(
				migration.Unavailable,
				"too many failed sign-ins (%d in %s): wait a few minutes and try again",
				n,
				failureWindow,
			)
		}
	}
	actor, encoded, err := c.store.User(ctx, name)
	if err != nil {
		if migration.KindOf(err) != migration.NotFound {
			return "", actor, err
		}
		encoded = nobody
	}
	select {
	case c.hashing <- struct{}{}:
	case <-ctx.Done():
		return "", actor, ctx.Err()
	}
	ok := checkPassword(encoded, password)
	<-c.hashing
	if err != nil || !ok {
		for _, s := range subjects {
			if err := c.store.NoteSignInFailure(ctx, s, c.now()); err != nil {
				return "", migration.Actor{}, err
			}
		}
		c.audit(ctx, migration.Actor{Name: name}, "sign-in", remote, "", refused)
		return "", migration.Actor{}, refused
	}
	token := newToken()
	if err := c.store.CreateSession(ctx, token, actor.Name, c.now()); err != nil {
		return "", actor, err
	}
	c.audit(ctx, actor, "sign-in", remote, "", nil)
	return token, actor, nil
}

// Authenticate says whose session a token is.
func (c *Control) Authenticate(ctx context.Context, token string) (migration.Actor, error) {
	now := c.now()
	return c.store.Session(ctx, token, now.Add(-sessionLife), now.Add(-sessionIdle), now)
}

// SignOut ends a session.
func (c *Control) SignOut(ctx context.Context, token string) error {
	return c.store.DeleteSession(ctx, token)
}
