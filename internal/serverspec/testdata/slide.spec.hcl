# Converted from slide_spec.rb.

# stricter than Serverspec's: nothing may be there, of whatever type
file "/root/.ssh/id_rsa" {
  exists = false
}

file "/etc/timezone" {
  type     = "file"
  contains = ["Etc/UTC"]
}

package "ntp" {
  installed = true
}

package "nslcd" {
  installed = true
}

service "nslcd" {
  enabled = true
}

service "nslcd" {
  running  = true
  requires = "boot"
}

command "getent passwd jeremy" {
  exit_status = "0"
}

command "ntpq -pn|grep -E \"^\\*\"" {
  exit_status = "0"
}
