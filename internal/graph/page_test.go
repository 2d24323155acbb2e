package graph

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// browse opens the page of images in a headless browser and runs actions in it.
// Whatever the page throws fails the test.
func browse(t *testing.T, images []registry.Tree, width int64, actions ...chromedp.Action) {
	t.Helper()
	browser := slices.IndexFunc([]string{"chromium", "chromium-browser", "google-chrome"}, func(name string) bool {
		_, err := exec.LookPath(name)
		return err == nil
	})
	if browser < 0 {
		t.Skip("needs a browser: chromium is not installed")
	}
	var page bytes.Buffer
	lists := map[string]registry.PackageList{"p-shop": {Packages: []registry.Package{
		{Type: registry.PackageDeb, Name: "zlib1g", Version: "1:1.2.13"}, {Type: registry.PackageDeb, Name: "openssl", Version: "3.0.14", Arch: "amd64"},
	}}}
	if err := WritePage(&page, Page{Forest: images, Packages: lists, Now: when}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, page.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	// The sandbox of Chromium does not run as root.
	allocator, done := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute))...)
	defer done()
	ctx, done := chromedp.NewContext(allocator)
	defer done()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	chromedp.ListenTarget(ctx, func(event any) {
		if thrown, ok := event.(*runtime.EventExceptionThrown); ok {
			t.Errorf("the page throws: %v", thrown.ExceptionDetails)
		}
	})
	if err := chromedp.Run(ctx, append([]chromedp.Action{
		chromedp.EmulateViewport(width, 800), chromedp.Navigate((&url.URL{Scheme: "file", Path: file}).String()),
	}, actions...)...); err != nil {
		t.Fatal(err)
	}
}

// shown are the titles of the images that can be seen in the tree.
const shown = `[...document.querySelectorAll(".node")].filter(n => n.offsetParent).map(n => n.querySelector("strong").textContent)`

func TestPageInABrowser(t *testing.T) {
	var all, promoted, withPackage []string
	var before, after, details, packages string
	browse(t, forest(), 1200,
		chromedp.Evaluate(shown, &all),
		chromedp.Evaluate(`document.getElementById("D").innerText`, &before),
		chromedp.Click(`a[href="#D"]`, chromedp.ByQuery),
		chromedp.WaitVisible("#D", chromedp.ByQuery),
		chromedp.Evaluate(`document.getElementById("A").offsetParent === null ? "hidden" : "shown"`, &after),
		chromedp.Click(`#D summary`, chromedp.ByQuery),
		chromedp.WaitVisible("#D .packages li", chromedp.ByQuery),
		chromedp.Text("#D", &details, chromedp.ByQuery),
		chromedp.Text("#D .packages", &packages, chromedp.ByQuery),
		chromedp.SetValue("#f-status", "promoted", chromedp.ByQuery),
		chromedp.Evaluate(`document.getElementById("filters").dispatchEvent(new Event("input")); `+shown, &promoted),
		chromedp.SetValue("#f-status", "", chromedp.ByQuery),
		chromedp.SendKeys("#f-text", "openssl 3.0", chromedp.ByQuery),
		chromedp.Evaluate(shown, &withPackage),
	)
	if diff := cmp.Diff([]string{"foundation 1.0", "base 1.5", "shop 2.0", "mail 1.0", "base 1.4", "alone 1.0"}, all); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	if after != "hidden" {
		t.Error("the details of an image that was not chosen are shown")
	}
	for _, want := range []string{"shop 2.0", "promoted stable", "because of D", "ami-D", "eu-west-1", "inline (offline)", "3/4", "2 installed"} {
		if !strings.Contains(details, want) {
			t.Errorf("the details do not say %q:\n%s", want, details)
		}
	}
	if diff := cmp.Diff("openssl 3.0.14 (amd64)\nzlib1g 1:1.2.13", strings.TrimSpace(packages)); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	// An image is shown with what it was baked from.
	want := []string{"foundation 1.0", "base 1.5", "shop 2.0"}
	if diff := cmp.Diff(want, promoted); diff != "" {
		t.Errorf("promoted images (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, withPackage); diff != "" {
		t.Errorf("images with the package (-want +got):\n%s", diff)
	}
}

func TestPageOnAPhone(t *testing.T) {
	var overflow float64
	browse(t, forest(), 360,
		chromedp.Click(`a[href="#E"]`, chromedp.ByQuery),
		chromedp.WaitVisible("#E", chromedp.ByQuery),
		chromedp.Evaluate(`document.documentElement.scrollWidth - innerWidth`, &overflow),
	)
	if overflow > 0 {
		t.Errorf("the page is %v pixels wider than the screen", overflow)
	}
}

func TestPageShowsNamesAsTheyAre(t *testing.T) {
	var titles []string
	browse(t, hostile(), 1200, chromedp.Evaluate(shown, &titles))
	if diff := cmp.Diff([]string{`</title><script>alert(1)</script> 1"]; n2["x\`}, titles); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

func TestPageWithoutImages(t *testing.T) {
	var text string
	browse(t, nil, 1200, chromedp.Text("nav", &text, chromedp.ByQuery))
	if !strings.Contains(text, "no images yet") {
		t.Errorf("the page says %q", text)
	}
}
