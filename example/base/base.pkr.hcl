# The base: the platform that every application stands on. It starts from the
# newest tested foundation.

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

# A line that the base must have in /etc/motd; the demo of a failing check sets
# it to something else.
variable "motd" {
  default = "baked by bakery"
}

data "bakery-ancestor" "foundation" {
  cloud       = var.cloud
  application = "foundation"
  release     = "bookworm"
}

source "bakery-chroot" "base" {
  cloud      = var.cloud
  source_ami = data.bakery-ancestor.foundation.id
  ami_name   = "base-${var.version}-{{timestamp}}"

  tags = {
    application = "base"
    version     = var.version
    release     = "bookworm"
    ancestor    = data.bakery-ancestor.foundation.id
  }
}

build {
  sources = ["source.bakery-chroot.base"]

  provisioner "shell" {
    environment_vars = ["DEBIAN_FRONTEND=noninteractive"]
    inline = [
      "apt-get update -q",
      "apt-get install -q -y --no-install-recommends ca-certificates openssh-server",
      "rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub",
      "echo 'baked by bakery' > /etc/motd",
      "apt-get clean",
      "rm -rf /var/lib/apt/lists/*",
    ]
  }

  provisioner "bakery-spec" {
    junit = "reports/base.xml"

    package {
      names = ["ca-certificates", "openssh-server"]
    }
    service {
      name    = "ssh"
      enabled = true
    }
    file {
      path     = "/etc/motd"
      contains = [var.motd]
    }
    file {
      paths  = ["/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key"]
      exists = false
    }
    command {
      run            = "openssl version"
      stdout_matches = ["^OpenSSL 3\\."]
    }
  }

  post-processor "bakery-lineage" {
    cloud       = var.cloud
    application = "base"
    version     = var.version
    layer       = "base"
    release     = "bookworm"
  }
}
