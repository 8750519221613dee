package migrationpages

// exportCLI prints the same as the link.
func exportCLI(format string) string { return "switchyard export " + format }

// exportTitle is what people call a format.
func exportTitle(format string) string {
	switch format {
	case "terraform":
		return "Terraform"
	case "helm":
		return "Helm values"
	}
	return format
}
