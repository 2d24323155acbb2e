# One image in several regions, for several accounts. The copies are made at
# once; tags are part of the calls that make them.

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

variable "regions" {
  default = ["eu-west-1", "us-west-2"]
}

# Who may launch the image, and copy its snapshots.
variable "accounts" {
  default = ["111122223333", "444455556666"]
}

data "bakery-ancestor" "base" {
  cloud       = var.cloud
  application = "base"
  release     = "bookworm"
}

source "bakery-chroot" "shared" {
  cloud      = var.cloud
  source_ami = data.bakery-ancestor.base.id
  ami_name   = "shared-${var.version}-{{timestamp}}"

  ami_regions    = var.regions
  ami_users      = var.accounts
  snapshot_users = var.accounts

  # EC2 hides the image from other accounts after that; theirs keep running.
  deprecate_after = "180d"

  tags = {
    application = "shared"
    version     = var.version
    ancestor    = data.bakery-ancestor.base.id
  }
  snapshot_tags = {
    application = "shared"
  }
}

build {
  sources = ["source.bakery-chroot.shared"]

  provisioner "shell" {
    inline = ["echo 'shared ${var.version}' > /etc/shared-version"]
  }

  provisioner "bakery-spec" {
    junit = "reports/shared.xml"

    file {
      path     = "/etc/shared-version"
      contains = ["shared ${var.version}"]
    }
  }

  # Records the image's id in each region: bakery-ancestor finds it in all of
  # them.
  post-processor "bakery-lineage" {
    cloud       = var.cloud
    application = "shared"
    version     = var.version
    layer       = "application"
    properties  = "reports/shared.properties"
  }
}
