package migrationpages

// exportCLI prints the same as the link.
const exportCLI = "switchyard export terraform"
