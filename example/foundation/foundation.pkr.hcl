# The foundation: a bare Debian, brought up to date, cleaned and tested.
#
#   packer build example/foundation                      on the local cloud
#   packer build -var cloud=aws example/foundation       on an EC2 instance

packer {
  required_plugins {
    bakery = {
      source  = "github.com/imagebakery/bakery"
      version = ">= 0.1.0"
    }
  }
}

variable "cloud" {
  default = "local"
}

variable "version" {
  default = "1.0"
}

locals {
  # On the local cloud: what `bakery local import` was given the name of.
  # On AWS: what Debian publishes, from Debian's own account.
  source = var.cloud == "local" ? { name = "debian-bookworm-import-*", owner = "self" } : {
    name = "debian-12-amd64-*", owner = "136693071363"
  }
}

source "bakery-chroot" "foundation" {
  cloud    = var.cloud
  ami_name = "foundation-${var.version}-{{timestamp}}"

  source_ami_filter {
    owners      = [local.source.owner]
    filters     = { name = local.source.name }
    most_recent = true
  }

  tags = {
    application = "foundation"
    version     = var.version
    release     = "bookworm"
  }
}

build {
  sources = ["source.bakery-chroot.foundation"]

  provisioner "shell" {
    environment_vars = ["DEBIAN_FRONTEND=noninteractive"]
    inline = [
      "apt-get update -q",
      "apt-get upgrade -q -y",
      "ln -sf /usr/share/zoneinfo/Etc/UTC /etc/localtime",
      "echo Etc/UTC > /etc/timezone",
      ": > /etc/machine-id",
      "apt-get clean",
      "rm -rf /var/lib/apt/lists/*",
    ]
  }

  provisioner "bakery-spec" {
    junit = "reports/foundation.xml"

    file {
      path     = "/etc/timezone"
      type     = "file"
      contains = ["Etc/UTC"]
    }
    file {
      path = "/etc/machine-id"
      size = "0"
    }
    file {
      paths  = ["/root/.ssh/id_rsa", "/root/.ssh/authorized_keys", "/usr/sbin/policy-rc.d"]
      exists = false
    }
    package {
      name    = "systemd"
      version = ">= 252"
    }
    user {
      name  = "root"
      uid   = "0"
      shell = "/bin/bash"
    }
  }

  post-processor "bakery-lineage" {
    cloud       = var.cloud
    application = "foundation"
    version     = var.version
    layer       = "foundation"
    release     = "bookworm"
  }
}
