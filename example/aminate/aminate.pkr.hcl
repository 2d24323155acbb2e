# A package onto a base, as Netflix's Aminator does it: aminate.sh PACKAGE reads
# name and version from the package and calls this.

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

# A .deb for a base of Debian's family, an .rpm for one of Red Hat's.
variable "package" {
  type = string
}

variable "application" {
  type = string
}

variable "version" {
  type = string
}

# The base: its name in the registry.
variable "base" {
  default = "base"
}

data "bakery-ancestor" "base" {
  cloud       = var.cloud
  application = var.base
}

locals {
  uploaded = "/tmp/${basename(var.package)}"
}

source "bakery-chroot" "aminate" {
  cloud      = var.cloud
  source_ami = data.bakery-ancestor.base.id
  ami_name   = "${var.application}-${replace(var.version, "/[^a-zA-Z0-9().\\/_-]/", "-")}-{{timestamp}}"

  # What Netflix's tools look for.
  ami_description = "name=${var.application}, ancestor_name={{ .SourceAMIName }}, ancestor_id={{ .SourceAMI }}"
}

build {
  sources = ["source.bakery-chroot.aminate"]

  provisioner "file" {
    source      = var.package
    destination = local.uploaded
  }

  # Both package managers fetch what the package depends on.
  provisioner "shell" {
    environment_vars = ["DEBIAN_FRONTEND=noninteractive", "PACKAGE=${local.uploaded}"]
    inline = [
      "set -e",
      "case $PACKAGE in",
      "*.deb) apt-get update -q; apt-get install -q -y \"$PACKAGE\"; apt-get clean; rm -rf /var/lib/apt/lists/* ;;",
      "*.rpm) dnf install -y \"$PACKAGE\"; dnf clean all ;;",
      "*) echo \"$PACKAGE is neither a .deb nor an .rpm\" >&2; exit 1 ;;",
      "esac",
      "rm \"$PACKAGE\"",
    ]
  }

  provisioner "bakery-spec" {
    junit = "reports/${var.application}.xml"

    package {
      name    = var.application
      version = var.version
    }
    file {
      path   = local.uploaded
      exists = false
    }
  }

  post-processor "bakery-lineage" {
    cloud       = var.cloud
    application = var.application
    version     = var.version
    layer       = "application"
    tag_styles  = ["bakery", "aminator"]
    properties  = "reports/${var.application}.properties"
  }
}
