package e2e

import (
	"context"
	"flag"
	"os/exec"
	"testing"
	"time"
)

var renewGallery = flag.Bool("gallery-pictures", false,
	"replace the pictures of components in e2e/gallery")

// TestComponentsLookAsTheyDid compares every component of the gallery with its picture. See
// e2e/gallery.mjs.
func TestComponentsLookAsTheyDid(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	write := exec.CommandContext(ctx, "go", "test", "./web/storybook", "-run", "^TestStorybook$",
		"-count=1")
	write.Env = append(write.Environ(), "SWITCHYARD_STORYBOOK="+dir, "CGO_ENABLED=0")
	if out, err := write.CombinedOutput(); err != nil {
		t.Fatalf("the stories: %v\n%s", err, out)
	}
	args := []string{dir}
	if *renewGallery {
		args = append(args, "-renew")
	}
	walk(ctx, t, &output{}, "gallery", args...)
}
