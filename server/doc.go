// Package server is the HTTP side of Switchyard: pages, API, flags for workers, event stream. Every route is in one table (server.go).
// A handler parses, makes one call to workflows.Control, and renders; rules live below it, looks in package web.
package server
