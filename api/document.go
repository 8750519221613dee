package api

import _ "embed"

//go:generate go run ./openapi openapi.json

//go:embed openapi.json
var openAPI []byte

// OpenAPI returns the OpenAPI 3.1 document of everything under /api/v1 and /ofrep/v1.
func OpenAPI() []byte { return openAPI }
