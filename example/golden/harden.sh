#!/bin/sh
# Installs what every machine has, and sets what every machine must have set.
set -eu

apt-get update -q
apt-get install -q -y --no-install-recommends ca-certificates openssh-server
# The package makes host keys; clean.sh removes them. This makes new ones at the
# first boot of each machine.
cat >/etc/systemd/system/ssh-host-keys.service <<'UNIT'
[Unit]
Description=Make the SSH host keys of this machine
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
UNIT
systemctl enable ssh-host-keys.service

cat >/etc/ssh/sshd_config.d/10-golden.conf <<CONF
PermitRootLogin no
PasswordAuthentication no
MaxAuthTries $MAX_AUTH_TRIES
CONF

cat >/etc/sysctl.d/60-golden.conf <<'CONF'
kernel.dmesg_restrict = 1
kernel.kptr_restrict = 2
net.ipv4.conf.all.rp_filter = 1
CONF

passwd --lock root
