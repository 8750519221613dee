package cli

import (
	"fmt"
	"log/slog"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/daemon"
)

type serveCmd struct {
	Config string `help:"Configuration (YAML)." type:"path" placeholder:"FILE"`
}

// Help tells where the configuration is described.
func (serveCmd) Help() string {
	return "See docs/configuration.md. Some settings can be given as environment variables instead."
}

// Run serves until the context ends, then drains.
func (c serveCmd) Run(s *shell) error {
	cfg, err := config.Load(c.Config, s.getenv)
	if err != nil {
		return err
	}
	return daemon.Run(s.ctx, daemon.Options{
		Config:  cfg,
		Version: version,
		Getenv:  s.getenv,
		Log:     slog.New(slog.NewTextHandler(s.stderr, nil)),
		Created: func(u config.User) {
			_, _ = fmt.Fprintf(s.stderr,
				"first run: account %s (%s), password %s - shown only this once\n",
				u.Name, u.Role, u.Password.Reveal())
		},
	})
}
