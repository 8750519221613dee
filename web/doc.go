// Package web renders the pages of the control plane. A page gets finished values and shows them; it never queries, and holds no
// rule of the migration. The same component renders a whole page and the fragment that replaces its main part when something
// changes. No page needs JavaScript, and none carries inline script or style, so that the content security policy stays strict.
package web

//go:generate go run github.com/a-h/templ/cmd/templ@v0.3.977 generate
