# Packer's own amazon-chroot on `bakery local serve`.

variable "endpoint" {
  type = string
}

# The plugin leaves the folder that it mounts on.
variable "mount_path" {
  type = string
}

source "amazon-chroot" "shop" {
  custom_endpoint_ec2 = var.endpoint
  region              = "us-east-1"
  access_key          = "local"
  secret_key          = "local"

  source_ami_filter {
    filters = {
      name                = "debian-bookworm-*"
      virtualization-type = "hvm"
    }
    owners      = ["self"]
    most_recent = true
  }

  ami_name        = "shop-peer"
  ami_description = "baked by amazon-chroot"
  mount_path      = var.mount_path
  device_path     = "/dev/xvdzp"
  tags            = { application = "shop" }
  snapshot_tags   = { application = "shop" }

  aws_polling {
    delay_seconds = 1
    max_attempts  = 60
  }
}

build {
  sources = ["source.amazon-chroot.shop"]

  provisioner "shell" {
    inline = [
      "echo baked by amazon-chroot > /etc/motd",
      "echo hello from shop-peer",
    ]
  }
}
