# What every golden image must be.

variable "max_auth_tries" {}

package {
  names = ["ca-certificates", "openssh-server"]
}

package {
  names     = ["telnet", "rsh-client", "gcc"]
  installed = false
}

config "/etc/ssh/sshd_config" {
  values = {
    PermitRootLogin        = "no"
    PasswordAuthentication = "no"
    MaxAuthTries           = "<= ${var.max_auth_tries}"
  }
  severity = "high"
}

service {
  names   = ["ssh", "ssh-host-keys"]
  enabled = true
}

kernel_param "kernel.kptr_restrict" {
  configured = ">= 1"
}

kernel_param {
  names      = ["kernel.dmesg_restrict", "net.ipv4.conf.all.rp_filter"]
  configured = 1
}

user "root" {
  locked = true
}

file {
  paths = ["/etc/shadow", "/etc/gshadow"]
  owner = "root"
  group = "shadow"
  mode  = "0640"
}

# Decided on an instance of the image; put off, and said so, in the bake.
service "ssh" {
  running  = true
  requires = "boot"
}
