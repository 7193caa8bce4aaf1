#!/bin/sh
# A trial of the package, in namespaces of its own that `unshare` has made: trial.sh DEB CONSUL. The working directory is
# an empty folder, of which only the mounts in this namespace are used. See package_test.go.
set -eu
deb=$1 consul=$2 here=$(pwd)

say() { echo "== $*"; }
fail() { echo "FAILED: $*"; exit 1; }
# until COMMAND holds, 20 s at most
until_so() {
	tries=0
	until eval "$1" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 200 ] || { tail -5 "$here"/*.log; fail "not in 20 s: $1"; }
		sleep 0.1
	done
}

mount --make-rprivate /
mount -t tmpfs -o mode=0755 trial "$here"
mkdir "$here/changes" "$here/work" "$here/root"
mount -t overlay -o "lowerdir=/,upperdir=$here/changes,workdir=$here/work" trial "$here/root" ||
	{ echo "NOT RUN: no overlay"; exit 0; }
for folder in dev sys; do mount --rbind /$folder "$here/root/$folder"; done
mount -t proc proc "$here/root/proc"
mount -t tmpfs tmpfs "$here/root/tmp"
mount -t tmpfs tmpfs "$here/root/run"
ip link set lo up
cp "$deb" "$here/root/tmp/zatoha.deb"
cp "$consul" "$here/root/tmp/consul"
chmod 0755 "$here/root/tmp/consul"
chmod 1777 "$here/root/tmp"
in_root() { chroot "$here/root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
# What the layer has that the machine has not, and what it has taken away, except what dpkg and useradd write about themselves.
left() {
	find "$here/changes" \( -type f -o -type c -o -type l \) | sed "s|^$here/changes||" |
		grep -vE '^/(var/(lib/dpkg|log|cache)/|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|etc/\.pwd\.lock$|tmp/|run/)' || true
}

say "install"
in_root dpkg -i /tmp/zatoha.deb
[ "$(in_root zatoha-lb --version)" != "" ] || fail "zatoha-lb says no version"
in_root zatoha-lb --version | grep -q v1.2.3 || fail "the version is $(in_root zatoha-lb --version)"
for unit in lb server connectorhost; do
	[ -e "$here/root/usr/lib/systemd/system/zatoha-$unit.service" ] || fail "no unit of $unit"
done
others= # the units of others that we add to, and that are there
for unit in haproxy keepalived; do
	[ -e "$here/root/usr/lib/systemd/system/$unit.service.d/10-zatoha.conf" ] || fail "nothing is added to $unit.service"
	[ ! -e "$here/root/usr/lib/systemd/system/$unit.service" ] || others="$others $unit.service"
done
if command -v systemd-analyze >/dev/null; then
	in_root systemd-analyze verify --man=no /usr/lib/systemd/system/zatoha-lb.service \
		/usr/lib/systemd/system/zatoha-track.service /usr/lib/systemd/system/zatoha-server.service \
		/usr/lib/systemd/system/zatoha-connectorhost.service /usr/lib/systemd/system/zatoha-edge.service \
		/usr/lib/systemd/system/zatoha-edge-track.service
	# shellcheck disable=SC2086
	said=$(in_root systemd-analyze verify --man=no zatoha-lb.service $others 2>&1) || fail "units of others: $said"
	case $said in *10-zatoha.conf*) fail "units of others: $said" ;; esac
fi
[ "$(in_root stat -c '%U %G %a' /etc/zatoha)" = "root zatoha 750" ] || fail "/etc/zatoha is $(in_root stat -c '%U %G %a' /etc/zatoha)"

say "run, as the units do"
pids=
chroot "$here/root" /tmp/consul agent -dev -log-level=warn >"$here/consul.log" 2>&1 &
until_so "in_root curl -fs http://127.0.0.1:8500/v1/status/leader | grep :8300"
for unit in connectorhost server lb; do
	# The unit's own command line.
	line=$(sed -n 's/^ExecStart=//p' "$here/root/usr/lib/systemd/system/zatoha-$unit.service")
	# shellcheck disable=SC2086
	chroot "$here/root" env -i PATH=/usr/sbin:/usr/bin setpriv --reuid zatoha --regid zatoha --clear-groups --no-new-privs \
		$line >"$here/$unit.log" 2>&1 &
	pids="$pids $!"
done
until_so "in_root curl -fs http://127.0.0.1:11223/zato/ping | grep pong"
until_so "in_root curl -fs http://127.0.0.1:17110/connectors | grep '\"role\": \"active\"'"
in_root curl -fs http://127.0.0.1:11224/status >/dev/null || fail "no status page"
sed -i 's/^#admin:/admin:/' "$here/root/etc/zatoha/lb.yaml" "$here/root/etc/zatoha/connectorhost.yaml"
until_so "in_root zatoha-lb status --config /etc/zatoha/lb.yaml"
in_root zatoha-connectorhost status --config /etc/zatoha/connectorhost.yaml || fail "connectorhost status"
line=$(sed -n 's/^ExecStart=//p' "$here/root/usr/lib/systemd/system/zatoha-track.service")
# shellcheck disable=SC2086
chroot "$here/root" env -i PATH=/usr/sbin:/usr/bin setpriv --reuid zatoha --regid zatoha --clear-groups --no-new-privs $line >"$here/track.log" 2>&1 &
pids="$! $pids"
until_so "grep -qx 0 $here/root/var/lib/zatoha/lb/track" # keepalived would give the address to this machine


say "an outer load balancer, in front of what runs"
mkdir -p "$here/root/run/haproxy" # as the package of HAProxy does
in_root zatoha-edge config --config /etc/zatoha/edge.yaml --clusters a=127.0.0.1:11223 --listen 127.0.0.1:11333 --write /tmp/edge.cfg
grep -q "server-state-file /var/lib/zatoha-edge/state " "$here/root/tmp/edge.cfg" || fail "HAProxy reads another file than zatoha-edge.service writes"
in_root haproxy -W -f /tmp/edge.cfg >"$here/haproxy-edge.log" 2>&1 &
edge=$!
line=$(sed -n 's/^ExecStart=//p' "$here/root/usr/lib/systemd/system/zatoha-edge.service")
# shellcheck disable=SC2086
chroot "$here/root" env -i PATH=/usr/sbin:/usr/bin $line >"$here/edge.log" 2>&1 &
pids="$! $pids"
until_so "in_root curl -fs http://127.0.0.1:11333/zato/ping | grep pong"
until_so "in_root zatoha-edge status --config /etc/zatoha/edge.yaml"
until_so "in_root curl -fs http://127.0.0.1:11225/metrics | grep 'server=\"a\",state=\"UP\"} 1'"
[ -s "$here/root/var/lib/zatoha-edge/state" ] || fail "zatoha-edge watch keeps no state"
in_root install -d -o zatoha -g zatoha /var/lib/zatoha-edge-track
line=$(sed -n 's/^ExecStart=//p' "$here/root/usr/lib/systemd/system/zatoha-edge-track.service")
# shellcheck disable=SC2086
chroot "$here/root" env -i PATH=/usr/sbin:/usr/bin setpriv --reuid zatoha --regid zatoha --clear-groups --no-new-privs \
	$line --listen 127.0.0.1:11333 >"$here/edge-track.log" 2>&1 &
pids="$! $pids"
until_so "grep -qx 0 $here/root/var/lib/zatoha-edge-track/track"
in_root zatoha-edge probe --listen 127.0.0.1:11333 || fail "keepalived would take the address away"

say "a change of a conffile outlives an upgrade"
echo "# ours" >>"$here/root/etc/zatoha/lb.yaml"
in_root dpkg -i --force-confold /tmp/zatoha.deb
grep -q "# ours" "$here/root/etc/zatoha/lb.yaml" || fail "lb.yaml was overwritten"
in_root curl -fs http://127.0.0.1:11223/zato/ping >/dev/null || fail "an upgrade has stopped the programs"

say "remove"
# There is no systemd here: what it does at a stop.
for pid in $pids; do
	kill -TERM "$pid"
	wait "$pid" || fail "a program ended with $?: $(tail -3 "$here"/*.log)"
done
in_root curl -s http://127.0.0.1:11223/zato-lb-alive >/dev/null || fail "haproxy ended with its controller"
tracks="$here/root/var/lib/zatoha/lb/track $here/root/var/lib/zatoha-edge-track/track"
for track in $tracks; do
	grep -qx 0 "$track" || fail "before it is removed, $track says $(cat "$track")"
done
in_root dpkg -r zatoha
for track in $tracks; do
	grep -qx -- -254 "$track" || fail "keepalived keeps the address: $track says $(cat "$track")"
done
! in_root curl -s http://127.0.0.1:11223/zato-lb-alive >/dev/null || fail "haproxy runs on without the package"
[ -e "$here/root/etc/zatoha/lb.yaml" ] || fail "the configuration is gone before the purge"

kill -TERM $edge

say "purge"
in_root dpkg -P zatoha
[ -z "$(left)" ] || fail "left behind: $(left)"
for folder in etc/zatoha var/lib/zatoha var/lib/zatoha-edge var/lib/zatoha-edge-track usr/share/doc/zatoha; do
	[ ! -e "$here/root/$folder" ] || fail "/$folder is left"
done
! in_root getent passwd zatoha >/dev/null || fail "the user is left"
! in_root getent group zatoha >/dev/null || fail "the group is left"
say "nothing is left"
