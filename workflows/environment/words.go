package environment

import (
	"errors"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Told is an error whose text may be shown to people; nil stays nil.
func Told(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(InWords(err))
}

// InWords is what a person is told of an error of a server.
func InWords(err error) string {
	if migration.KindOf(err) != migration.Internal {
		return migration.PlainError(err)
	}
	if explained := redisconn.Explain(err); migration.KindOf(explained) != migration.Internal {
		return explained.Error()
	}
	return "cannot be read"
}
