# shellcheck shell=bash
# Clean roots of Debian, made by debootstrap; sourced after lib.sh. The caller sets $work, a temporary directory, and $arch, Debian's
# name of the architecture, and runs as root in the project's directory.
# shellcheck disable=SC2154

# in_root ROOT COMMAND…: run in a root, with the kernel's file systems.
in_root() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  unshare --mount --propagation private -- bash -c '
    set -e
    root=$1; shift
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
      DEBIAN_FRONTEND=noninteractive "$@"' bash "$@"
}

# debian_root SUITE [PACKAGE…]: a clean root in a new directory, whose name it prints.
debian_root() {
  local suite=$1 archive dir mirror security keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  archive=target/debian-roots/$(echo "$@" | tr ' ' -).tar.zst
  dir=$(mktemp -d "$work/$suite.XXXX")
  chmod 755 "$dir"
  if [[ -z $(find "$archive" -mtime -7 2>/dev/null) ]]; then
    need_packages debootstrap debian-archive-keyring zstd tar
    mirror=${TCC_DEBIAN_MIRROR:-$(apt_mirror debian)}
    [[ -n $mirror ]] || die 'apt has no Debian source: set TCC_DEBIAN_MIRROR to the URL of a Debian archive'
    security=${TCC_DEBIAN_SECURITY_MIRROR:-$(apt_mirror debian-security)}
    say "making a root of $*"
    debootstrap --variant=minbase --arch="$arch" --keyring="$keyring" "$suite" "$dir" "$mirror" >"$work/debootstrap.log" 2>&1 ||
      { tail -n 20 "$work/debootstrap.log" >&2; die "debootstrap $suite failed"; }
    {
      echo "deb $mirror $suite main"
      [[ -z $security ]] || echo "deb $security $suite-security main"
    } >"$dir/etc/apt/sources.list"
    # The host's proxies and retries. Its certificates and files are not in the root.
    apt-config dump Acquire | grep -E '^Acquire::(http|https|Retries)' >"$dir/etc/apt/apt.conf.d/90host" || true
    printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"
    chmod 755 "$dir/usr/sbin/policy-rc.d"
    cp --remove-destination "$(readlink -f /etc/resolv.conf)" "$dir/etc/resolv.conf"
    in_root "$dir" apt-get -qq update >&2
    in_root "$dir" apt-get -qq --yes upgrade >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; die "apt-get upgrade failed"; }
    if (($# > 1)); then
      in_root "$dir" apt-get -qq --yes --no-install-recommends install "${@:2}" >"$work/apt.log" 2>&1 ||
        { cat "$work/apt.log" >&2; die "cannot install ${*:2} in a root of $suite"; }
    fi
    in_root "$dir" apt-get clean
    mkdir -p target/debian-roots
    tar --create --zstd --one-file-system --directory "$dir" --file "$archive.part" .
    mv "$archive.part" "$archive"
  else
    tar --extract --zstd --numeric-owner --directory "$dir" --file "$archive"
    cp --remove-destination "$(readlink -f /etc/resolv.conf)" "$dir/etc/resolv.conf"
  fi
  echo "$dir"
}

# apt_mirror NAME: the host's own source for a Debian archive of that name.
apt_mirror() {
  # shellcheck disable=SC2016 # apt expands it
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 "/$1/\$" || true
}
