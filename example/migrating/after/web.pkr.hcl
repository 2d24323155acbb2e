# The same, baked by bakery-chroot: another plugin, another type, nothing else.

packer {
  required_plugins {
    bakery = {
      source  = "github.com/imagebakery/bakery"
      version = ">= 0.1.0"
    }
  }
}

source "bakery-chroot" "web" {
  ami_name                = "web-{{timestamp}}"
  ami_virtualization_type = "hvm"
  root_volume_size        = 3

  source_ami_filter {
    owners      = ["self"]
    filters     = { name = "base-*" }
    most_recent = true
  }

  tags = {
    Name = "web"
  }
}

build {
  sources = ["source.bakery-chroot.web"]

  provisioner "shell" {
    inline = ["mkdir -p /srv/web", "echo hello > /srv/web/index.html"]
  }
}
