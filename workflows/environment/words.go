package environment

import (
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// InWords is what a person is told of an error of a server.
func InWords(err error) string {
	if migration.KindOf(err) != migration.Internal {
		return err.Error()
	}
	if explained := redisconn.Explain(err); migration.KindOf(explained) != migration.Internal {
		return explained.Error()
	}
	return "cannot be read"
}
