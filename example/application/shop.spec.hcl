# What every image of the shop must be, whoever bakes it.

file "/usr/bin/shop" {
  type    = "file"
  mode    = "0755"
  owner   = "root"
  matches = ["exec sleep infinity"]
}

user "shop" {
  shell = "/usr/sbin/nologin"
}

group "shop" {}

command "shop --version" {
  exit_status    = 0
  stdout_matches = ["^shop 1\\.4"]
}

# Decided when an instance of the image runs; skipped, and said so, before.
service "shop" {
  running  = true
  requires = "boot"
}
