# An image from nothing. The documentation partitions the disk; here the file
# system takes all of it, because not every kernel finds new partitions.

variable "endpoint" {
  type = string
}

variable "work" {
  type = string
}

# amazon-chroot finds a free name only where the host's disks are called sd or xvd.
variable "device" {
  type = string
}

variable "rootfs" {
  type = string
}

source "amazon-chroot" "scratch" {
  custom_endpoint_ec2 = var.endpoint
  region              = "us-east-1"
  access_key          = "local"
  secret_key          = "local"
  device_path         = var.device
  mount_path          = "${var.work}/root"
  aws_polling {
    delay_seconds = 1
    max_attempts  = 60
  }

  from_scratch            = true
  ami_name                = "example-scratch"
  ami_virtualization_type = "hvm"
  ami_architecture        = "x86_64"
  mount_partition         = "0"
  root_volume_size        = 1
  root_volume_type        = "gp2"
  root_device_name        = "xvda"
  pre_mount_commands = [
    "mkfs.ext4 -q {{.Device}}",
  ]
  post_mount_commands = [
    "cp -a ${var.rootfs}/. {{.MountPath}}",
  ]
  ami_block_device_mappings {
    device_name           = "xvda"
    delete_on_termination = true
    volume_type           = "gp2"
  }
}

build {
  sources = ["source.amazon-chroot.scratch"]

  provisioner "shell" {
    inline = ["echo scratch > /srv/scratch.txt"]
  }
}
