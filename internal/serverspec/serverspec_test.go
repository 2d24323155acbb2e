package serverspec

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

var update = flag.Bool("update", false, "write the golden files")

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*_spec.rb")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := Convert(filepath.Base(file), string(source)).Text
			golden := strings.TrimSuffix(file, "_spec.rb") + ".spec.hcl"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got), -update writes it:\n%s", golden, diff)
			}
		})
	}
}

// TestLeft has what is not understood: it must be left, with its line, and what
// stands around it converted.
func TestLeft(t *testing.T) {
	for _, statement := range []string{
		"it { should be_readable.by('owner') }",
		"it { should contain('a').after('b') }",
		"it { should have_size(4) }",
		"its(:mtime) { should be > 5 }",
		"its(:content) { should match /a\\nb/ }",
		"its(:content) { should match /a(?=b)/ }",
		"its(:content) { should match /a#{b}/ }",
		"it { should be_mode mode }",
		"it { should be_mode 0 + 644 }",
		"it { should }",
		"it { puts 'x' }",
		"it 'works' do\n  3.times do |n|\n    should be_file\n  end\nend",
		"before do\n  x = 1\nend",
		"let(:x) { 1 }",
		"case os[:family]\nwhen 'debian'\n  it { should be_file }\nend",
	} {
		t.Run(statement, func(t *testing.T) {
			suite := Convert("x_spec.rb", "describe file('/a') do\n  it { should be_directory }\n"+statement+"\n  it { should be_owned_by 'root' }\nend\n")
			first, _, _ := strings.Cut(statement, "\n")
			if len(suite.Left) != 1 || suite.Left[0].Line < 3 || !strings.Contains(suite.Text, "#   "+first) && !strings.Contains(statement, "\n") {
				t.Errorf("left is %+v", suite.Left)
			}
			for _, want := range []string{`type  = "directory"`, `owner = "root"`} {
				if !strings.Contains(suite.Text, want) {
					t.Errorf("%q is not in\n%s", want, suite.Text)
				}
			}
		})
	}
}

func TestNothingIsLostInBrokenFiles(t *testing.T) {
	for _, text := range []string{
		"describe file('/a do\n it { should be_file }\nend", "describe file('/a') do\n  it { should be_file }\n",
		"describe file('/a')\n", "end\nend\ndescribe package('a') do\nit { should be_installed }\nend\n", "x = <<EOF\ndescribe\nEOF\n",
		"describe file('') do\n it { should be_file }\nend\n", "[].each do |x|\ndescribe package(x) do\nit { should be_installed }\nend\nend",
	} {
		if suite := Convert("x", text); len(suite.Left) == 0 {
			t.Errorf("%q: nothing is left:\n%s", text, suite.Text)
		}
	}
}

// FuzzConvert looks for a file that cannot be read to its end, or whose suite is
// no HCL.
func FuzzConvert(f *testing.F) {
	for _, file := range []string{"testdata/slide_spec.rb", "testdata/init_spec.rb"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		suite := Convert("x_spec.rb", text)
		if _, diags := hclsyntax.ParseConfig([]byte(suite.Text), "x.spec.hcl", hcl.InitialPos); diags.HasErrors() {
			t.Fatalf("%v\n%s", diags, suite.Text)
		}
	})
}
