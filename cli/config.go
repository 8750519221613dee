package cli

import "github.com/switchyard-dev/switchyard/config"

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"List every mistake of a configuration file."`
}

type configCheckCmd struct {
	File string `arg:"" help:"Configuration (YAML)." type:"path"`
}

// Help tells what is looked at, and the exit codes.
func (configCheckCmd) Help() string {
	return "Reads the file as switchyard serve would, with the same variables, and connects to " +
		"nothing. Exits 2 when it has mistakes. Needs no Switchyard server."
}

// Run checks.
func (c configCheckCmd) Run(s *shell) error {
	if _, err := config.Load(c.File, s.getenv); err != nil {
		return err
	}
	return printed(s, false, nil, func(t table) { t.row("%s has no mistakes", c.File) })
}
