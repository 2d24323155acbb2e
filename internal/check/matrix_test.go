package check

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
	"hygiene": {
		holds: "hygiene {\n rules = [\"secrets\", \"ssh-host-keys\", \"credentials\", \"logs\", \"provisioners\"]\n except = [\"/usr\"]\n}",
		fails: "hygiene {\n rules = [\"private-keys\", \"machine-id\"]\n except = [\"/usr\"]\n}",
		open:  "hygiene {\n rules = [\"private-keys\", \"secrets\", \"ssh-host-keys\", \"credentials\", \"passwords\"]\n except = [\"/usr\"]\n}",
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
