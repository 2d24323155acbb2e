# The shop's own image.
package "shop" {
  version = ">= 1.4, < 2"
}

service "shop" {
  enabled = true
}

service "shop" {
  running  = true
  requires = "boot"
}

file "/etc/shop/shop.conf" {
  type         = "file"
  mode         = 0640
  owner        = "root"
  group        = "shop"
  contains     = ["listen = 8080"]
  not_matches  = ["(?i)password\\s*="]
}

file {
  paths  = ["/root/.ssh/id_rsa", "/usr/sbin/policy-rc.d"]
  exists = false
}

user "shop" {
  uid    = "< 1000"
  shell  = "/usr/sbin/nologin"
  locked = true
}

group "shop" {
  members = ["shop"]
}

command "shop --version" {
  exit_status    = 0
  stdout_matches = ["^shop 1\\."]
  timeout        = "5s"
}

waiver "file:/etc/shop/shop.conf:mode" {
  until  = "2027-01-31"
  reason = "the package ships it with 0644"
}
