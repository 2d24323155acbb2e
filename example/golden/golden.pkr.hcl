# A golden image: hardened, cleaned of what belongs to one machine, and searched for
# what must not be in an image of many.
#
#   packer build example/golden                      on the local cloud
#   packer build -var cloud=aws example/golden       on an EC2 instance

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

variable "environment" {
  default = "staging"
}

# How many wrong passwords sshd takes, in the image and in its suite.
variable "max_auth_tries" {
  default = "3"
}

data "bakery-ancestor" "foundation" {
  cloud       = var.cloud
  application = "foundation"
  release     = "bookworm"
}

source "bakery-chroot" "golden" {
  cloud      = var.cloud
  source_ami = data.bakery-ancestor.foundation.id
  ami_name   = "golden-${var.environment}-${var.version}-{{timestamp}}"

  # Consumers of the image never see the instance metadata without a token.
  imds_support = "v2.0"

  tags = {
    application = "golden"
    version     = var.version
    environment = var.environment
    ancestor    = data.bakery-ancestor.foundation.id
  }
}

build {
  sources = ["source.bakery-chroot.golden"]

  provisioner "shell" {
    environment_vars = ["DEBIAN_FRONTEND=noninteractive", "MAX_AUTH_TRIES=${var.max_auth_tries}"]
    script           = "${path.root}/harden.sh"
  }

  # The last thing before the checks: what it removes, provisioners write.
  provisioner "shell" {
    script = "${path.root}/clean.sh"
  }

  provisioner "bakery-spec" {
    suite = ["${path.root}/hardening.spec.hcl"]
    vars  = { max_auth_tries = var.max_auth_tries }
    junit = "reports/golden.xml"

    # A suite that is there already runs as it is.
    goss {
      file = "${path.root}/goss/goss.yaml"
      vars = { release = "bookworm" }
    }

    # Keys, identities, logs, credentials and leftovers.
    hygiene {
      preset = "ami"
    }
  }

  post-processor "bakery-lineage" {
    cloud         = var.cloud
    application   = "golden"
    version       = var.version
    layer         = "base"
    release       = "bookworm"
    environment   = var.environment
    require_tests = true
    sbom          = "reports/golden.cdx.json"
  }
}
