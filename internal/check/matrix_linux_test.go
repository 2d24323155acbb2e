package check

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// row is a kind of the matrix: for each verdict a block that gets it.
type row struct {
	live               bool // decided on a running system only
	holds, fails, open string
}

// matrix has each kind of check. What is open cannot be decided: offline of the
// live kinds; of the others by a user who may not read what it is about.
var matrix = map[string]row{
	"file": {
		holds: "file \"/etc/shop/shop.conf\" {\n mode = 0644\n owner = \"root\"\n size = 14\n lines = [\"listen = 8080\"]\n sha256 = \"SHA\"\n not_matches = [\"^debug\"]\n}\nfile \"/nope\" { exists = false }",
		fails: "file \"/etc/shop/shop.conf\" {\n mode = 0600\n owner = \"shop\"\n size = \"> 14\"\n lines = [\"listen\"]\n not_contains = [\"listen\"]\n type = \"directory\"\n}\nfile \"/nope\" { not_contains = [\"x\"] }",
		open:  "file \"/etc/shop/shop.conf\" {\n mode = 0644\n contains = [\"listen\"]\n not_contains = [\"x\"]\n}\nfile \"/etc/shop/none\" { exists = false }",
	},
	"package": {
		holds: "package \"shop\" { version = \"VERSION\" }\npackage \"gone\" { installed = false }",
		fails: "package \"shop\" { version = \"NEWER\" }\npackage \"gone\" {}",
		open:  "package \"shop\" {}\npackage \"gone\" { installed = false }",
	},
	"service": {
		holds: "service \"shop\" { enabled = true }\nservice \"idle\" { enabled = false }\nservice \"none\" { exists = false }",
		fails: "service \"shop\" { enabled = false }\nservice \"idle\" { enabled = true }\nservice \"none\" { enabled = false }",
		open:  "service \"shop\" { enabled = true }\nservice \"idle\" { enabled = false }\nservice \"none\" { exists = false }",
	},
	"user": {
		holds: "user \"shop\" {\n uid = \">= 1000\"\n groups = [\"shop\"]\n locked = true\n}\nuser \"none\" { exists = false }",
		fails: "user \"shop\" {\n uid = 0\n groups = [\"root\"]\n password_set = true\n}\nuser \"none\" {}",
		open:  "user \"shop\" {\n uid = 1042\n locked = true\n}\nuser \"none\" { exists = false }",
	},
	"group": {
		holds: "group \"shop\" {\n gid = 1042\n members = [\"shop\"]\n}",
		fails: "group \"shop\" { gid = 1 }\ngroup \"none\" {}",
		open:  "group \"shop\" {}\ngroup \"none\" { exists = false }",
	},
	"config": {
		holds: "config \"/etc/shop/shop.json\" { values = { \"server.port\" = \"> 8000\" } }",
		fails: "config \"/etc/shop/shop.json\" { values = { \"server.port\" = 80, \"server.name\" = \"x\" } }\nconfig \"/etc/none.json\" { not_set = [\"x\"] }",
		open:  "config \"/etc/shop/shop.json\" { not_set = [\"x\"] }",
	},
	"kernel_param": {
		holds: `kernel_param "vm.swappiness" { configured = 1 }`,
		fails: `kernel_param "vm.swappiness" { configured = 60 }`,
		open:  `kernel_param "vm.swappiness" { configured = 1 }`,
	},
	"kernel_module": {
		holds: `kernel_module "usb_storage" { disabled = true }`,
		fails: `kernel_module "usb_storage" { disabled = false }`,
		open:  `kernel_module "usb_storage" { disabled = true }`,
	},
	"mount": {
		holds: `mount "/srv/data" { options = ["nofail"] }`,
		fails: "mount \"/srv/data\" { options = [\"noexec\"] }\nmount \"/none\" {}",
		open:  `mount "/none" { fstab = false }`,
	},
	"x509": {
		holds: "x509 \"/etc/shop/cert.pem\" {\n hosts = [\"shop.example.com\"]\n key = \"/etc/shop/key.pem\"\n}",
		fails: "x509 \"/etc/shop/cert.pem\" {\n hosts = [\"other.example.com\"]\n key = \"/etc/shop/shop.conf\"\n valid_for = \"720h\"\n}",
		open:  `x509 "/etc/shop/cert.pem" {}`,
	},
	"cron": {
		holds: "cron \"/opt/backup\" {\n schedule = \"0 3 * * *\"\n user = \"shop\"\n}\ncron \"none\" { exists = false }",
		fails: "cron \"/opt/backup\" { user = \"root\" }\ncron \"none\" {}",
		open:  `cron "none" { exists = false }`,
	},
	"timer": {
		holds: `timer "shop" { elapses = ["weekly"] }`,
		fails: "timer \"shop\" { elapses = [\"daily\"] }\ntimer \"none\" { unit = \"x\" }",
		open:  `timer "shop" { elapses = ["weekly"] }`,
	},
	"repository": {
		holds: "repository \"https://packages.example.org/shop\" { signed = true }\nrepository \"none\" { exists = false }",
		fails: "repository \"https://packages.example.org/shop\" { enabled = false }\nrepository \"none\" {}",
		open:  `repository "none" { exists = false }`,
	},
	"selinux": {
		holds: "selinux {\n configured = \"enforcing\"\n policy = \"targeted\"\n}",
		fails: "selinux {\n configured = \"permissive\"\n policy = \"mls\"\n}",
		open:  `selinux { configured = "disabled" }`,
	},
	"command": {
		holds: "command \"echo shop; echo no >&2; exit 3\" {\n exit_status = 3\n stdout = \"shop\"\n stderr_contains = [\"no\"]\n}",
		fails: "command \"echo shop\" {\n exit_status = 1\n stdout = \"\"\n stdout_matches = [\"^none$\"]\n}",
		open:  "command \"sleep 9\" {\n exit_status = 0\n timeout = \"1s\"\n}",
	},
	"process": {
		live:  true,
		holds: "process \"httpd\" {\n count = 1\n user = \"root\"\n arguments = [\"-p 127\"]\n}\nprocess \"none\" { running = false }",
		fails: "process \"httpd\" {\n count = \"> 1\"\n user = \"shop\"\n not_arguments = [\"-p\"]\n}\nprocess \"none\" { not_arguments = [\"x\"] }",
		open:  `process "none" { running = false }`,
	},
	"port": {
		live:  true,
		holds: "port \"8080\" {\n addresses = [\"127.0.0.1\"]\n not_addresses = [\"0.0.0.0\"]\n}\nport \"8081\" { listening = false }",
		fails: "port \"8080\" { addresses = [\"0.0.0.0\"] }\nport \"8081\" { not_addresses = [\"0.0.0.0\"] }",
		open:  `port "8081" { listening = false }`,
	},
	"interface": {
		live:  true,
		holds: "interface \"lo\" {\n up = true\n mtu = \"> 1000\"\n addresses = [\"127.0.0.1/8\"]\n}\ninterface \"none0\" { exists = false }",
		fails: "interface \"lo\" {\n up = false\n mtu = 1\n addresses = [\"192.0.2.1\"]\n}\ninterface \"none0\" { up = false }",
		open:  `interface "none0" { exists = false }`,
	},
	"addr": {
		live:  true,
		holds: "addr \"127.0.0.1:8080\" {}\naddr \"127.0.0.1:8081\" { reachable = false }",
		fails: "addr \"127.0.0.1:8080\" { reachable = false }\naddr \"127.0.0.1:8081\" {}",
		open:  `addr "127.0.0.1:8081" { reachable = false }`,
	},
	"dns": {
		live:  true,
		holds: "dns \"localhost\" { addresses = [\"127.0.0.1\"] }\ndns \"none.invalid\" { resolvable = false }",
		fails: "dns \"localhost\" { addresses = [\"192.0.2.1\"] }\ndns \"none.invalid\" {}",
		open:  `dns "none.invalid" { resolvable = false }`,
	},
	"http": {
		live:  true,
		holds: "http \"http://127.0.0.1:8080/index.html\" {\n status = 200\n contains = [\"shop\"]\n headers = { \"content-type\" = \"text/html\" }\n}",
		fails: "http \"http://127.0.0.1:8080/none\" {}\nhttp \"http://127.0.0.1:8081/\" { not_contains = [\"x\"] }\nhttp \"http://127.0.0.1:8080/index.html\" { not_contains = [\"shop\"] }",
		open:  `http "http://127.0.0.1:8081/" { status = "!= 200" }`,
	},
}

// familyWords are what differs between the families in the texts of the matrix.
var familyWords = map[string]*strings.Replacer{
	"debian": strings.NewReplacer("NEWER", "> 1:2", "VERSION", ">= 1:1.4-1~deb12u1, < 1:1.4-1"),
	"redhat": strings.NewReplacer("NEWER", "> 1:2", "VERSION", ">= 1:1.4-2.el8, < 1:1.5"),
	"alpine": strings.NewReplacer("NEWER", "> 2", "VERSION", "> 1.4.2-r9, < 1.4.3_rc1"),
}

// Each kind of check gives each verdict on roots of each family, and leaves the
// root as it was.
func TestMatrix(t *testing.T) {
	if missing := slices.DeleteFunc(slices.Sorted(maps.Keys(kinds)), func(k string) bool { return matrix[k].holds != "" }); len(missing) > 0 {
		t.Errorf("kinds without a row: %v", missing)
	}
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			root := newFamilyRoot(t, family)
			before := root.digest(t)
			for kind, r := range matrix {
				target := Target{Shell: root.offline(0), Mounted: true}
				if r.live {
					target = Target{Shell: root.live(), Mode: Booted}
				}
				decideRow(t, family, kind, "holds", r.holds, target, Passed)
				decideRow(t, family, kind, "fails", r.fails, target, Failed)
				if kind == "command" || r.live {
					decideRow(t, family, kind, "open", r.open, Target{Shell: root.offline(0), Mounted: true}, Errored)
				}
			}
			decideRow(t, family, "facts", "holds", fmt.Sprintf("file \"/etc/os-release\" {\n when = facts.family == %q && facts.arch == %q && facts.mode == \"offline\"\n}\n", family, runtime.GOARCH),
				Target{Shell: root.offline(0), Mounted: true}, Passed)
			if root.digest(t) != before {
				t.Error("the checks have changed the root")
			}
			root.lock(t)
			before = root.digest(t)
			for kind, r := range matrix {
				if kind != "command" && !r.live {
					decideRow(t, family, kind, "open", r.open, Target{Shell: root.offline(nobody), Mounted: true}, Errored)
				}
			}
			if root.digest(t) != before {
				t.Error("the checks have changed the locked root")
			}
		})
	}
}

// decideRow runs a row of the matrix: all that it asserts must have one outcome.
func decideRow(t *testing.T, family, kind, verdict, text string, target Target, want Outcome) {
	t.Helper()
	t.Run(kind+"/"+verdict, func(t *testing.T) {
		text = strings.ReplaceAll(text, "SHA", sha256Of("listen = 8080\n"))
		plan := mustCompile(t, Auto, familyWords[family].Replace(text))
		report, err := Run(t.Context(), plan, target)
		if report == nil {
			t.Fatal(err)
		}
		found := 0
		for _, s := range report.Suites {
			for _, result := range s.Results {
				found++
				if result.Outcome != want {
					t.Errorf("%s: %s (%s), want %s", result.ID(), result.Outcome, result.Message(), want)
				}
			}
		}
		if found != plan.Len() {
			t.Errorf("%d results of %d assertions", found, plan.Len())
		}
	})
}
