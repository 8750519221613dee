// Command go-flagd prints the stage and the authority of one order key. It is sent the
// flags and every change, and evaluates by itself.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"

	flagd "github.com/open-feature/go-sdk-contrib/providers/flagd/pkg"
	"github.com/open-feature/go-sdk/openfeature"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go-flagd ORDER_KEY")
	}
	host, portText, err := net.SplitHostPort(os.Getenv("SWITCHYARD_SYNC_ADDR"))
	if err != nil {
		log.Fatal(err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		log.Fatal(err)
	}
	provider, err := flagd.NewProvider(
		flagd.WithInProcessResolver(),
		flagd.WithHost(host),
		flagd.WithPort(uint16(port)),
		flagd.WithSelector("apiKey="+os.Getenv("SWITCHYARD_TOKEN")),
	)
	if err != nil {
		log.Fatal(err)
	}
	if err := openfeature.SetProviderAndWait(provider); err != nil {
		log.Fatal(err)
	}
	defer openfeature.Shutdown()
	client, order := openfeature.NewClient("orders"), openfeature.NewEvaluationContext(os.Args[1], nil)
	for _, flag := range []string{"stage", "authority"} {
		value, err := client.StringValue(context.Background(), "order-ingestion-"+flag, "", order)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s=%s\n", flag, value)
	}
}
