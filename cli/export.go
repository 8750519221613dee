package cli

import (
	"fmt"
	"io"
)

// exportCmd prints what the step Provision would do. It holds no secret.
type exportCmd struct {
	remote
	Format string `arg:"" help:"terraform or helm." enum:"terraform,helm"`
}

// Run prints the file.
func (c exportCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	e, err := client.Export(s.ctx, mid, c.Format)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.print(s, e, nil)
	}
	if _, err = io.WriteString(s.stdout, e.Text); err != nil {
		return fmt.Errorf("write %s: %w", e.File, err)
	}
	return nil
}
