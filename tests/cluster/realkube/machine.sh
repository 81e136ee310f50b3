#!/bin/sh
# The first process of a machine's namespaces: `machine.sh NAME STATE BOOT_ID`. It lives as long as its standard input,
# and with it everything in the machine. What it mounts goes with its namespaces.
set -eu
name=$1 state=$2 boot_id=$3

mount --make-rprivate /
umount --recursive /sys/fs/cgroup
mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
for hierarchy in cpu cpuacct cpuset memory devices freezer blkio pids; do
    mkdir "/sys/fs/cgroup/$hierarchy"
    mount -t cgroup -o "$hierarchy" cgroup "/sys/fs/cgroup/$hierarchy"
done
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd

mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock /run/netns
for directory in lib log; do
    mkdir -p "$state/$directory"
    mount --bind "$state/$directory" "/var/$directory"
done
printf '%s\n' "$boot_id" > "$state/boot_id"
mount --bind "$state/boot_id" /proc/sys/kernel/random/boot_id
mount --make-rshared /
hostname "$name"
ip link set lo up

trap '' CHLD # whatever loses its parent is reaped at once
echo ready
exec cat > /dev/null
