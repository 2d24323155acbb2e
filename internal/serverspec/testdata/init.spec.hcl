# Converted from init_spec.rb.

package "httpd" {
  when      = (facts.family == "redhat" && facts.os != "fedora" && facts.os != "amzn")
  installed = true
}

package "apache2" {
  when    = (facts.os == "debian" || facts.os == "ubuntu")
  version = "= 2.4.57-2"
}

service "httpd" {
  when    = (facts.family == "redhat" && facts.os != "fedora" && facts.os != "amzn")
  enabled = true
}

service "httpd" {
  when     = (facts.family == "redhat" && facts.os != "fedora" && facts.os != "amzn")
  running  = true
  requires = "boot"
}

port "tcp:80" {
  listening = true
  addresses = ["127.0.0.1"]
  requires  = "boot"
}

user "jeremy" {
  exists = true
  uid    = "1000"
  groups = ["sudo"]
  shell  = "/bin/bash"
}

user "guest" {
  exists = false
}

group "games" {
  gid = "60"
}

file "/etc/ssh/sshd_config" {
  mode         = "0600"
  owner        = "root"
  group        = "root"
  matches      = ["^PermitRootLogin\\s+no$", "^UsePAM [a-z]+$"]
  not_contains = ["PasswordAuthentication yes"]
}

# line 42 was not converted: file: there is no check for "be_readable by"
#     it { should be_readable.by('owner') }

# the digest of the content that was written out
file "/etc/motd" {
  sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
}

file "/etc/motd" {
  size = "<= 4096"
}

command "sysctl -n net.ipv4.ip_forward; echo \"$${HOME}\"" {
  stdout_matches = ["^0$"]
  stderr         = ""
}

dns "db.example.com" {
  resolvable = true
  requires   = "boot"
}

addr "db.example.com:5432" {
  reachable = true
  requires  = "boot"
}

# line 58 was not converted: there is no check that pings: name a port with .with(port: …)
#     it { should be_reachable }

cron "/usr/local/bin/backup --all" {
  schedule = "0 3 * * *"
  user     = "backup"
}

# type and device are those of the entry in /etc/fstab
mount "/srv" {
  mounted  = true
  type     = "ext4"
  requires = "boot"
}

kernel_param "vm.swappiness" {
  live     = "10"
  requires = "boot"
}

kernel_module "usb_storage" {
  loaded   = false
  requires = "boot"
}

interface "eth0" {
  mtu      = "1500"
  up       = true
  requires = "boot"
}

process "nginx" {
  running  = true
  user     = "root"
  requires = "boot"
}

selinux {
  configured = "enforcing"
  policy     = "targeted"
}

# line 92 was not converted: what gem has installed is not looked into: write a command that fails without it
#     it { should be_installed.by('gem') }

package "apt" {
  when      = facts.os == "debian"
  installed = true
}

package "rpm" {
  when      = !(facts.os == "debian")
  installed = true
}

# line 105 was not converted: iptables is not understood
#   describe iptables do
#     it { should have_rule('-P INPUT ACCEPT') }
#   end

# line 109 was not converted: "property" is not understood here
#   property['role'].each do |role|
#     describe package(role) do
#       it { should be_installed }
#     end
#   end
