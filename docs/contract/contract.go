// Package contract is the OpenAPI document of what an app serves to Switchyard.
package contract

import _ "embed"

// Document is OpenAPI 3.1, in YAML.
//
//go:embed openapi.yaml
var Document []byte
