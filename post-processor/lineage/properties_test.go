package lineage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

func TestProperties(t *testing.T) {
	b := newBench(t)
	base := b.base("ami-base")
	path := filepath.Join(t.TempDir(), "shop.properties")
	b.handOver(result("s", "passed", "a=passed"))
	if err := b.process(baked(), map[string]any{"properties": path, "owner": "Müller \\ Söhne"}); err != nil {
		t.Fatal(err)
	}
	registered, err := b.show("ami-shop")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"BAKERY_ANCESTOR_ID=" + base.ID, "BAKERY_ANCESTOR_IMAGE=ami-base", "BAKERY_APPLICATION=shop", "BAKERY_ARCH=x86_64",
		"BAKERY_CLOUD=local", "BAKERY_ID=" + registered.ID, "BAKERY_IMAGE=ami-copy", "BAKERY_IMAGE_EU_WEST_1=ami-copy", "BAKERY_IMAGE_US_EAST_1=ami-shop",
		"BAKERY_LAYER=application", `BAKERY_OWNER=M\u00fcller \\ S\u00f6hne`, "BAKERY_REGION=eu-west-1", "BAKERY_RELEASE=bookworm",
		"BAKERY_REUSED=false", "BAKERY_STATUS=tested", "BAKERY_VERSION=1.4.2", "",
	}, "\n")
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}

	// A build that returns the image writes them too.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := b.process(b.leased(baked(), 0, registered.ID), map[string]any{"properties": path, "owner": "Müller \\ Söhne"}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !strings.Contains(string(got), "BAKERY_REUSED=true\n") {
		t.Errorf("properties of a reused image = %q, %v", got, err)
	}
}

func TestPropertiesThatCannotBeWritten(t *testing.T) {
	b := newBench(t)
	err := b.process(baked(), map[string]any{"properties": filepath.Join(t.TempDir(), "none", "shop.properties")})
	if err == nil || !strings.Contains(err.Error(), "properties: open ") {
		t.Errorf("error is %v, want that the folder is missing", err)
	}
	if _, err := b.show("ami-shop"); err == nil {
		t.Error("the image is registered")
	}
}

func TestEscapeProperty(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "a b": "a b", "  a": `\  a`, "a=b:c#d!": "a=b:c#d!", "a\nb\tc\r": `a\nb\tc\r`, `C:\x`: `C:\\x`, "😀": `\ud83d\ude00`, "\x00": `\u0000`,
	} {
		if got := escapeProperty(value); got != want {
			t.Errorf("escapeProperty(%q) = %s, want %s", value, got, want)
		}
	}
}

func TestReportsAreRecorded(t *testing.T) {
	b := newBench(t)
	b.handOver(result("s", "passed", "a=passed"))
	path := filepath.Join(t.TempDir(), "smoke.xml")
	report := `<testsuite name="smoke"><testcase name="boots"/><testcase name="answers"><failure message="no"/></testcase></testsuite>`
	if err := os.WriteFile(path, []byte(report), 0o600); err != nil {
		t.Fatal(err)
	}
	options := map[string]any{"junit": []string{path}}
	required := map[string]any{"junit": []string{path}, "require_tests": true}
	if err := b.process(baked(), required); err == nil || !strings.Contains(err.Error(), "suite smoke ended as failed") {
		t.Errorf("error is %v, want that the suite failed", err)
	}
	if err := b.process(baked(), options); err != nil {
		t.Fatal(err)
	}
	got, err := b.show("ami-shop")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Suites) != 2 || got.Status != registry.StatusRejected || got.Reason != "suite smoke ended as failed" {
		t.Errorf("status is %s (%s) by %d suites", got.Status, got.Reason, len(got.Suites))
	}

	before := time.Unix(1767225600, 0).Add(-time.Minute) // the bake began then
	if err := os.Chtimes(path, before, before); err != nil {
		t.Fatal(err)
	}
	if err := b.process(baked(), options); err == nil || !strings.Contains(err.Error(), "before the bake began") {
		t.Errorf("error is %v, want that the report is too old", err)
	}
	if err := b.process(baked(), map[string]any{"junit": []string{"/none.xml"}}); err == nil || !strings.Contains(err.Error(), "junit: stat /none.xml") {
		t.Errorf("error is %v, want that the report is missing", err)
	}
}

func TestMistakesOfOutputs(t *testing.T) {
	b := newBench(t)
	err := new(PostProcessor).Configure(b.options(map[string]any{
		"tag_styles": []string{"netflix"}, "ssm_parameter": "images//shop", "junit": []string{""},
	}))
	for _, want := range []string{
		`tag_styles[0] is "netflix"; write one of aminator, bakery, pinterest`, `ssm_parameter is "images//shop"`, "junit[0] is empty",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
}
