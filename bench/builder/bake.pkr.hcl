# What both builders bake. The types of the sources are the only difference:
# amazon-chroot is written here, and replaced for bakery-chroot.

variable "endpoint" {
  type = string
}

variable "source" {
  type = string
}

variable "name" {
  type = string
}

# Files of this bake: mount point, package, times.
variable "work" {
  type = string
}

variable "package" {
  type = string
}

# amazon-chroot finds a free device name only where the host's own disks are
# called sd or xvd. bakery-chroot chooses by itself.
variable "device" {
  type    = string
  default = null
}

# How often amazon-chroot looks, in seconds; null is what it does by itself.
variable "poll" {
  type    = number
  default = null
}

source "amazon-chroot" "bench" {
  custom_endpoint_ec2 = var.endpoint
  region              = "us-east-1"
  access_key          = "local"
  secret_key          = "local"

  source_ami  = var.source
  ami_name    = var.name
  device_path = var.device
  mount_path  = "${var.work}/root"
  tags        = { application = "bench" }

  dynamic "aws_polling" {
    for_each = var.poll == null ? [] : [var.poll]
    content {
      delay_seconds = aws_polling.value
      max_attempts  = 600
    }
  }
}

build {
  sources = ["source.amazon-chroot.bench"]

  provisioner "shell-local" {
    inline = ["date +%s.%N > ${var.work}/begin"]
  }

  provisioner "file" {
    source      = var.package
    destination = "/tmp/bench.deb"
  }

  provisioner "shell" {
    inline = [
      "dpkg -i /tmp/bench.deb",
      "rm /tmp/bench.deb",
    ]
  }

  provisioner "shell-local" {
    inline = ["date +%s.%N > ${var.work}/end"]
  }
}
