# shellcheck shell=bash
# Private apt roots, with their own sources, lists and caches under $cache. They change and install nothing
# on the host. Sourced by fetch-kernels and fetch-arm64, after common.sh.
: "${cache:?}"

# Those that have kernels.
# shellcheck disable=SC2034  # fetch-kernels uses it
apt_kernel_suites=(bullseye bullseye-security bookworm bookworm-backports trixie trixie-backports)
apt_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# apt_host_mirror NAME: the host's own source for a Debian archive of that name, with a trailing slash.
apt_host_mirror() {
  # shellcheck disable=SC2016  # apt expands it
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 "/$1/\$" || true
}

# apt_open NAME ARCH[,ARCH…] SUITE…: create the private root $cache/NAME for these architectures, and use it for all further apt
# commands of this process.
apt_open() {
  local root=$cache/$1 archs=$2 mirror security suite
  shift 2
  mirror=${TCC_DEBIAN_MIRROR:-$(apt_host_mirror debian)}
  [[ -n $mirror ]] || die "apt has no Debian source: set TCC_DEBIAN_MIRROR to the URL of a Debian archive"
  [[ -r $apt_keyring ]] || die "$apt_keyring is missing: install debian-archive-keyring"
  mirror=${mirror%/}
  security=${TCC_DEBIAN_SECURITY_MIRROR:-$(apt_host_mirror debian-security)}
  security=${security:-$mirror-security}

  mkdir -p "$root"/{lists/partial,archives/partial}
  {
    for suite; do
      case $suite in
        *-security) echo "deb [arch=$archs signed-by=$apt_keyring] ${security%/} $suite main" ;;
        *) echo "deb [arch=$archs signed-by=$apt_keyring] $mirror $suite main" ;;
      esac
    done
  } >"$root/sources.list"
  {
    apt-config dump Acquire # the host's proxies and retries
    cat <<CONF
Dir::Etc "$root";
Dir::Etc::sourcelist "$root/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::State "$root";
Dir::State::lists "$root/lists";
Dir::State::status "/dev/null";
Dir::Cache "$root";
Dir::Cache::archives "$root/archives";
APT::Architecture "${archs%%,*}";
APT::Architectures { "${archs//,/\";\"}"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
CONF
  } >"$root/apt.conf"
  export APT_CONFIG=$root/apt.conf
}

# apt_refresh: read the archive's lists. A suite that is gone from the mirror must not stop the others.
apt_refresh() {
  apt-get -qq update >&2 || say "some suites could not be read (see above)"
}

# apt_kernels ARCH: a line "SERIES VERSION PACKAGE…" for each installable kernel, the newest of a series first.
apt_kernels() {
  local arch=$1 found image version series package packages
  declare -A available needs_modules
  found=$(apt-cache search --names-only "^linux-(image|binary|modules|base)-[0-9].*-$arch\$" | cut -d' ' -f1)
  for package in $found; do available[$package]=1; done

  # From 6.19 on, modules are in a separate package, and the archive sometimes lists an image without it.
  while read -r package; do needs_modules[$package]=1; done < <(
    (grep '^linux-image-' <<<"$found" || true) | xargs --no-run-if-empty apt-cache show |
      awk '/^Package:/ { p = $2 } /^Depends:.*linux-modules-/ { print p }'
  )

  for image in $found; do
    [[ $image =~ ^linux-image-(([0-9]+\.[0-9]+)\.[0-9].*-(cloud-)?$arch)$ ]] || continue
    version=${BASH_REMATCH[1]} series=${BASH_REMATCH[2]}
    [[ $version == *-rt-* ]] && continue
    # The standard flavour is of amd64 only.
    [[ $arch == amd64 || $version == *-cloud-* ]] || continue
    [[ ${needs_modules[$image]:-} && ! ${available[linux-modules-$version]:-} ]] && continue
    [[ $version == *-cloud-amd64 ]] || series+=-$arch
    packages=$image
    for package in "linux-binary-$version" "linux-modules-$version" "linux-base-$version"; do
      [[ ${available[$package]:-} ]] && packages+=" $package"
    done
    echo "$series $version $packages"
  done | sort --key=1,1V --key=2,2Vr
}

# apt_closure PACKAGE…: these and all that they depend on.
apt_closure() {
  apt-get --quiet --simulate --no-install-recommends install "$@" | sed -n 's/^Inst \([^ ]*\) .*/\1/p'
}

# apt_unpack DEBS ROOT PACKAGE…: downloads packages to DEBS, and unpacks them in ROOT. Unlike dpkg-deb --extract, tar keeps links to
# directories there.
apt_unpack() {
  local debs=$1 root=$2 deb
  (cd "$debs" && apt-get -qq download "${@:3}" >&2)
  for deb in "$debs"/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar --extract --keep-directory-symlink --directory "$root"
  done
}

# dpkg_register DATABASE PREFIX DEB…: adds packages to a database of dpkg, as if they were installed below PREFIX. Unless that is empty,
# paths are those in a merged /usr.
dpkg_register() {
  local database=$1 prefix=$2 deb package file control merged=
  [[ -z $prefix ]] || merged='s,^\./lib/,./usr/lib/,;'
  mkdir -p "$database"/{info,updates}
  touch "$database/status"
  # That of files whose names have an architecture.
  echo 1 >"$database/info/format"
  for deb in "${@:3}"; do
    package=$(dpkg-deb --field "$deb" Package)
    [[ $(dpkg-deb --field "$deb" Multi-Arch) != same ]] || package+=:$(dpkg-deb --field "$deb" Architecture)
    { dpkg-deb --field "$deb"; echo 'Status: install ok installed'; echo; } >>"$database/status"
    control=$(mktemp -d)
    dpkg-deb --control "$deb" "$control"
    for file in "$control"/*; do
      [[ ${file##*/} == control ]] || mv "$file" "$database/info/$package.${file##*/}"
    done
    rm -r "$control"
    # Without dpkg's notation of directories.
    dpkg-deb --fsys-tarfile "$deb" | tar --list | sed "$merged s,^\.,$prefix,; s,/\$,,; s,^\$,/.," >"$database/info/$package.list"
  done
}

# apt_close: remove caches that apt can rebuild, which are five times the size of its lists.
apt_close() { rm -f "$cache"/apt*/*pkgcache.bin; }
