// Package api is the public HTTP interface: its JSON types beyond the vocabulary of
// package migration, its OpenAPI document, and the Go client that the command line and
// the rehearsal use.
//
// The client survives short outages of the server. A verb whose answer was lost is never
// blindly sent again: the client first looks whether it took effect.
package api
