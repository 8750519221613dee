// Command switchyard takes BullMQ queues off a single Redis without losing or
// double-processing an order, and proves it.
package main

import (
	"os"

	"github.com/switchyard-dev/switchyard/cli"
)

func main() { os.Exit(cli.Main()) }
