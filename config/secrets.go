package config

import "reflect"

// SecretKey says of a secret whether it is set, and never what it is.
type SecretKey struct {
	Key string `json:"key"` // of the configuration
	Set bool   `json:"set"`
	// From is env:NAME or file:PATH where the configuration says so.
	From string `json:"from,omitempty"`
}

// Secrets lists every secret that the configuration has a place for.
func (c Config) Secrets() []SecretKey {
	var out []SecretKey
	eachSecret(reflect.ValueOf(c), "", func(key string, v reflect.Value) {
		out = append(out, SecretKey{Key: key, Set: v.String() != "", From: c.from[key]})
	})
	return out
}
