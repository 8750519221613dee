// Command go-ofrep prints the stage and the authority of one order key, asking the server for each.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/open-feature/go-sdk-contrib/providers/ofrep"
	"github.com/open-feature/go-sdk/openfeature"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go-ofrep ORDER_KEY")
	}
	provider := ofrep.NewProvider(os.Getenv("SWITCHYARD_URL"), ofrep.WithBearerToken(os.Getenv("SWITCHYARD_TOKEN")))
	if err := openfeature.SetProviderAndWait(provider); err != nil {
		log.Fatal(err)
	}
	client, order := openfeature.NewClient("orders"), openfeature.NewEvaluationContext(os.Args[1], nil)
	for _, flag := range []string{"stage", "authority"} {
		value, err := client.StringValue(context.Background(), "order-ingestion-"+flag, "", order)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s=%s\n", flag, value)
	}
}
