// Package twin is a local double of the estate that a migration touches, made of real
// programs on loopback: the single Redis ("linode", deliberately with allkeys-lru), a
// Sentinel deployment, a managed Redis over TLS that lacks the commands the real service
// lacks, the ingestion app, and a payment provider that sends signed webhooks. The paid
// services' APIs are the stand-ins of providerstest.
//
// Its processes end with it; what it stored stays in its folder, so that the next start
// goes on.
package twin
