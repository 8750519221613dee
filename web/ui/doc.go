// Package ui is what every page is made of: the layout with its navigation, the parts that
// several pages share, and the words for numbers, times and states. The pages themselves are in
// the packages beside this one, by area.
//
// A page gets finished values and shows them; it never queries, and holds no rule of the
// migration. The same component renders a whole page and the fragment that replaces its main
// part when something changes. No page needs JavaScript, and none carries inline script or
// style, so that the content security policy stays strict.
package ui

//go:generate go run github.com/a-h/templ/cmd/templ@v0.3.977 generate -path ..
