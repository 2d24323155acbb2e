# An application: a package installed onto the newest tested base.

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
  default = "1.4.2"
}

# Where the package is; ./build-deb.sh makes it.
variable "package" {
  default = "shop.deb"
}

data "bakery-ancestor" "base" {
  cloud       = var.cloud
  application = "base"
  release     = "bookworm"
}

source "bakery-chroot" "shop" {
  cloud      = var.cloud
  source_ami = data.bakery-ancestor.base.id
  ami_name   = "shop-${var.version}-{{timestamp}}"

  tags = {
    application = "shop"
    version     = var.version
    release     = "bookworm"
    ancestor    = data.bakery-ancestor.base.id
  }
}

build {
  sources = ["source.bakery-chroot.shop"]

  provisioner "file" {
    source      = var.package
    destination = "/tmp/shop.deb"
  }

  provisioner "shell" {
    environment_vars = ["DEBIAN_FRONTEND=noninteractive"]
    inline           = ["apt-get install -q -y /tmp/shop.deb", "rm /tmp/shop.deb"]
  }

  provisioner "bakery-spec" {
    suite = ["${path.root}/shop.spec.hcl"]
    junit = "reports/shop.xml"

    package {
      name    = "shop"
      version = ">= 1.4"
    }
    service {
      name    = "shop"
      enabled = true
    }
    file {
      path   = "/root/.ssh/id_rsa"
      exists = false
    }
  }

  post-processor "bakery-lineage" {
    cloud       = var.cloud
    application = "shop"
    version     = var.version
    layer       = "application"
    release     = "bookworm"
  }
}
