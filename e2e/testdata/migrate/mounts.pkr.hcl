# What is mounted and copied, and what runs on the host; the guard against
# services that the documentation of amazon-chroot recommends.

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

source "amazon-chroot" "mounts" {
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

  source_ami_filter {
    filters = {
      name = "debian-bookworm-*"
    }
    owners      = ["self"]
    most_recent = true
  }

  ami_name         = "example-mounts"
  root_volume_size = 3
  mount_partition  = "1"
  mount_options    = ["noatime"]
  copy_files       = ["/etc/hosts"]
  command_wrapper  = "sh -c '{{.Command}}'"
  pre_mount_commands = [
    "echo before the mount of {{.Device}} > ${var.work}/before",
  ]
  post_mount_commands = [
    "cp ${var.work}/before {{.MountPath}}/srv/before",
    "chmod 600 {{.MountPath}}/srv/before",
  ]
  chroot_mounts = [
    ["proc", "proc", "/proc"],
    ["bind", "/dev", "/dev"],
  ]
}

build {
  sources = ["source.amazon-chroot.mounts"]

  provisioner "shell" {
    inline = [
      "echo '#!/bin/sh' > /usr/sbin/policy-rc.d",
      "echo 'exit 101' >> /usr/sbin/policy-rc.d",
      "chmod a+x /usr/sbin/policy-rc.d",
    ]
  }

  provisioner "file" {
    content     = "uploaded\n"
    destination = "/srv/uploaded"
  }

  provisioner "shell" {
    inline = [
      "test -e /proc/self/status",
      "test -c /dev/null",
      "test ! -e /sys/class",
      "test -s /etc/hosts",
      "echo done > /srv/done",
    ]
  }

  provisioner "shell" {
    inline = ["rm -f /usr/sbin/policy-rc.d"]
  }
}
