package environment

import (
	"fmt"

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

// Bytes writes a size for people.
func Bytes(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f kB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

// Megabytes writes a size in decimal megabytes.
func Megabytes(bytes int64) string { return fmt.Sprintf("%d.%d MB", bytes/1e6, bytes/1e5%10) }
