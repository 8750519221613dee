package workflows

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/switchyard-dev/switchyard/migration"
)

// Audit lists the audit log, newest first.
func (c *Control) Audit(ctx context.Context, f AuditFilter) ([]migration.AuditEntry, error) {
	return c.store.Audit(ctx, f)
}

func (c *Control) audit(
	ctx context.Context,
	a migration.Actor,
	action, subject, detail string,
	err error,
) {
	e := migration.AuditEntry{
		At:      c.now(),
		Actor:   a.Name,
		Action:  action,
		Subject: subject,
		Detail:  detail,
		Result:  "ok",
	}
	if err != nil {
		e.Result, e.Detail = "refused", migration.PlainError(err)
		if migration.KindOf(err) == migration.Internal {
			e.Detail = "internal error"
		}
	}
	if err := c.store.AppendAudit(context.WithoutCancel(ctx), e); err != nil {
		c.log.Error("audit log", "err", err)
	}
	c.notify("audit")
}

// MayAct refuses viewers, and keeps in the audit log what they tried: for what is asked
// before anything is changed.
func (c *Control) MayAct(ctx context.Context, a migration.Actor, action, subject string) error {
	err := engineer(a)
	if err != nil {
		c.audit(ctx, a, action, subject, "", err)
	}
	return err
}

func engineer(a migration.Actor) error {
	if a.Role != migration.RoleEngineer {
		return migration.Errorf(
			migration.Forbidden,
			"%s is a %s with read-only access: sign in as an engineer",
			a.Name,
			a.Role,
		)
	}
	return nil
}

// newToken gives 256 random bits in hexadecimal.
func newToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return hex.EncodeToString(b[:])
}
