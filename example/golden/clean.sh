#!/bin/sh
# Removes what belongs to one machine, and what baking has left.
set -eu

apt-get clean
rm -rf /var/lib/apt/lists/*

rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed
rm -rf /var/lib/cloud /var/lib/dhcp/* /var/lib/NetworkManager/*.lease

find /var/log -type f -delete
rm -f /root/.bash_history /root/.ssh/authorized_keys
rm -rf /var/crash/* /var/tmp/* /root/.cache
