# shellcheck shell=bash
# What tests of packages do in clean roots. Sourced by script/packages-test, after script/debian-root.sh.

# in_own_network ROOT COMMAND…: like in_root, with a network of its own, of which only the loopback interface is up.
in_own_network() {
  # shellcheck disable=SC2016
  unshare --net -- bash -c "$(declare -f in_root)"'
    ip link set lo up
    in_root "$@"' bash "$@"
}

# files_of ROOT: all that is in it, apart from the package managers' own notes.
files_of() {
  find "$1" -xdev -printf '%P %M %U:%G\n' |
    grep -vE '^(var/(lib/(dpkg|apt|rpm|systemd)|log|cache)|usr/lib/sysimage|run|tmp|dev|proc|sys|root|new|calls)(/| )|^etc/ld\.so\.cache ' |
    sort
}

# A host's systemd, as far as packages call it: each call is a line in /calls. rpm gives scripts another /tmp.
fake_systemd() {
  mkdir -p "$1/run/systemd/system" "$1/usr/lib/systemd"
  local program
  for program in usr/bin/systemctl usr/lib/systemd/systemd-update-helper; do
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "${0##*/} $*" >>/calls\n' >"$1/$program"
    chmod 755 "$1/$program"
  done
  : >"$1/calls"
}
