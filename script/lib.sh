# shellcheck shell=bash
# Helpers for the scripts in this directory; sourced.

# The minimum Rust version, as in Cargo.toml.
rust_minimum=1.88

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

say() {
  echo "${0##*/}: $*" >&2
}

need_root() {
  ((EUID == 0)) || die "needs root: sudo $0"
}

# installed PKG
installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# Options for every apt-get.
apt_options=()
# Install without removing packages.
apt_install=(install --yes --no-remove --no-install-recommends)

# installable PKG: whether it can be installed without removing packages.
installable() {
  update_package_lists
  apt-get -qq "${apt_options[@]}" --simulate "${apt_install[@]}" "$1" >/dev/null 2>&1
}

# need_packages PKG…: install the Debian packages that are missing.
need_packages() {
  local package missing=()
  for package; do
    installed "$package" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0

  command -v apt-get >/dev/null ||
    die "this system has no apt-get: install the equivalents of these Debian packages: ${missing[*]}"
  ((EUID == 0)) || die "missing Debian packages: as root, run apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  update_package_lists
  DEBIAN_FRONTEND=noninteractive apt-get -qq "${apt_options[@]}" -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
    "${apt_install[@]}" "${missing[@]}" >&2 </dev/null ||
    die "cannot install ${missing[*]}"
}

# offered PKG: whether this distribution has the package; updates the package lists if needed.
offered() {
  command -v apt-cache >/dev/null || return 1
  apt-cache show "$1" >/dev/null 2>&1 && return
  ((EUID == 0)) || return 1
  update_package_lists
  apt-cache show "$1" >/dev/null 2>&1
}

# Once per script is enough.
update_package_lists() {
  [[ -z ${package_lists_updated-} ]] || return 0
  apt-get -qq "${apt_options[@]}" -o DPkg::Lock::Timeout=300 update >&2 || die "apt-get update failed"
  package_lists_updated=1
}

# need_rust: find or install a cargo and rustc that are new enough.
need_rust() {
  if ! command -v cargo >/dev/null && [[ -x ${HOME-/root}/.cargo/bin/cargo ]]; then
    PATH=${HOME-/root}/.cargo/bin:$PATH
  fi
  local version=
  if command -v cargo >/dev/null && command -v rustc >/dev/null; then
    version=$(rustc --version 2>/dev/null) || version=
    version=${version#rustc }
    version=${version%% *}
    if [[ -n $version ]] && at_least "$version" "$rust_minimum"; then
      return 0
    fi
  fi

  # Only if there is none: a Rust that is too old is not replaced.
  if [[ -z $version ]] && command -v apt-get >/dev/null && ((EUID == 0)); then
    update_package_lists
    local packages candidate
    # Debian 12 and 13 have a current Rust in packages of another name.
    for packages in 'cargo rustc' 'cargo-web rustc-web'; do
      candidate=$(apt-cache policy "${packages#* }" | sed -n 's/^  Candidate: //p')
      if [[ -n $candidate && $candidate != '(none)' ]] && at_least "$candidate" "$rust_minimum"; then
        # shellcheck disable=SC2086 # two packages
        need_packages $packages
        return 0
      fi
    done
  fi
  die "needs cargo and rustc $rust_minimum or newer (found: ${version:-none});" \
    "on Debian, as root: apt-get install cargo-web rustc-web"
}

# need_rust_checks: need_rust, and cargo fmt and cargo clippy.
need_rust_checks() {
  need_rust
  if [[ $(command -v cargo) == /usr/bin/cargo ]]; then
    case $(dpkg-query -S /usr/bin/cargo 2>/dev/null) in
      cargo-web:*) need_packages rustfmt-web rust-web-clippy ;;
      cargo:*) need_packages rustfmt rust-clippy ;;
    esac
  fi
  if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    die "needs cargo fmt and cargo clippy: rustup component add rustfmt clippy"
  fi
}

# need_build: everything that `cargo build` needs.
need_build() {
  need_packages clang libelf-dev zlib1g-dev pkg-config make gcc libc6-dev binutils ca-certificates
  need_rust
}

# libelf_directory: where libelf.a and libz.a are, which rustc does not search by default.
libelf_directory() { dirname "$(realpath "$(gcc -print-file-name=libelf.a)")"; }

# static_builds [arm64]: set the environment for static programs of this machine's architecture or of arm64, to be built with
# --features static. They get a separate directory under target.
static_builds() {
  local arch=${1:-native}
  [[ ${TCC_STATIC_BUILDS-} != "$arch" ]] || return 0
  if [[ $arch == arm64 ]]; then
    static_builds_for_arm64
    return
  fi
  # With an explicit target, the flags do not apply to build scripts and macros.
  CARGO_BUILD_TARGET=$(rustc -vV | sed -n 's/^host: //p')
  LIBBPF_SYS_LIBRARY_PATH=${LIBBPF_SYS_LIBRARY_PATH:-$(libelf_directory)}
  TCC_RUSTFLAGS=${RUSTFLAGS-}
  RUSTFLAGS="-C target-feature=+crt-static${RUSTFLAGS:+ $RUSTFLAGS}"
  # Some distributions' libelf.a needs zstd as well.
  if pkg-config --static --libs-only-l libelf | grep -q -- -lzstd; then
    need_packages libzstd-dev
    RUSTFLAGS+=' -C link-arg=-lzstd'
  fi
  export CARGO_BUILD_TARGET LIBBPF_SYS_LIBRARY_PATH RUSTFLAGS TCC_RUSTFLAGS TCC_STATIC_BUILDS=native
}

# static_builds_for_arm64: also if the environment is set for this machine.
static_builds_for_arm64() {
  builds_for_arm64 -C target-feature=+crt-static
  export TCC_STATIC_BUILDS=arm64
}

# builds_for_arm64 [RUSTC OPTION…]: set the environment for programs of arm64. The C compiler is that of this distribution; Rust
# comes from Debian with the library for arm64, as rustc needs a standard library of its own version.
builds_for_arm64() {
  local target=aarch64-unknown-linux-gnu flags=${TCC_RUSTFLAGS-${RUSTFLAGS-}} fetch tools libraries
  need_packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross debian-archive-keyring
  fetch=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/vm.d/fetch-arm64
  tools=$("$fetch" build) || exit
  libraries=$("$fetch" libraries) || exit
  # Build scripts need those of this machine.
  LIBBPF_SYS_LIBRARY_PATH_x86_64_unknown_linux_gnu=${LIBBPF_SYS_LIBRARY_PATH:-$(libelf_directory)}
  unset LIBBPF_SYS_LIBRARY_PATH
  export LIBBPF_SYS_LIBRARY_PATH_x86_64_unknown_linux_gnu CARGO_BUILD_TARGET=$target
  export RUSTC=$tools/bin/rustc RUSTFLAGS="$*${flags:+ $flags}"
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
  export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar
  export CFLAGS_aarch64_unknown_linux_gnu="-idirafter $libraries/usr/include"
  export LIBBPF_SYS_LIBRARY_PATH_aarch64_unknown_linux_gnu=$libraries/usr/lib/aarch64-linux-gnu
}

# libraries_of TARGET: the root directory of its libraries and of dpkg's database for them.
libraries_of() {
  if [[ $1 == "$(host_target)" ]]; then
    echo /
  else
    "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/vm.d/fetch-arm64" libraries
  fi
}

# is_static PROGRAM
is_static() { ! readelf --program-headers "$1" 2>/dev/null | grep -q INTERP; }

# build_static [FEATURES [arm64]]: build a static release program; prints its path.
build_static() {
  static_builds "${2-}"
  cargo build --release --locked --features "static${1:+,$1}" --bin tcc-trace >&2 || return 1
  echo "${CARGO_TARGET_DIR:-target}/$CARGO_BUILD_TARGET/release/tcc-trace"
}

# can_build TARGET: whether this machine can build for it: for its own target, and on amd64 for arm64.
can_build() {
  [[ $1 == "$(host_target)" || "$1 on $(host_target)" == 'aarch64-unknown-linux-gnu on x86_64-unknown-linux-gnu' ]]
}

# release_targets: those that script/release builds for, a line each.
release_targets() {
  local target
  for target in {x86_64,aarch64}-unknown-linux-gnu; do
    ! can_build "$target" || echo "$target"
  done
}

# build_program TARGET dynamic|static [FEATURES]: build a release program for a target; prints its path.
build_program() (
  local arch=
  can_build "$1" || die "cannot build for $1 on $(host_target)"
  [[ $1 == "$(host_target)" ]] || arch=arm64
  if [[ $2 == static ]]; then
    build_static "${3-}" "$arch"
    return
  fi
  [[ -z $arch ]] || builds_for_arm64
  # In the directory of that target, so that build scripts and macros are shared with the static build.
  cargo build --release --locked --target "$1" ${3:+--features "$3"} --bin tcc-trace >&2 || return 1
  echo "${CARGO_TARGET_DIR:-target}/$1/release/tcc-trace"
)

# host_target: the target that rustc builds for by default.
host_target() { rustc -vV | sed -n 's/^host: //p'; }

# debian_arch TARGET: Debian's name of its architecture.
debian_arch() {
  case $1 in
    x86_64-*) echo amd64 ;;
    aarch64-*) echo arm64 ;;
    *) die "no name for the architecture of $1" ;;
  esac
}

# need_tool CRATE VERSION [CARGO INSTALL OPTIONS]: a program of that version in PATH, built in target/tools if it is missing.
need_tool() {
  local crate=$1 version=$2 tools=${tools_dir:-$root/target/tools}
  shift 2
  if [[ ! -x $tools/$crate-$version/bin/$crate ]]; then
    say "building $crate $version"
    # Without what is set for our own builds, and fast to build: these programs run for seconds.
    env -u RUSTFLAGS -u CARGO_BUILD_TARGET -u LIBBPF_SYS_LIBRARY_PATH CARGO_TARGET_DIR="$tools/build" \
      CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
      CARGO_PROFILE_RELEASE_DEBUG=false CARGO_INCREMENTAL=0 \
      cargo install --quiet --locked --root "$tools/$crate-$version" --version "$version" "$@" "$crate" >&2 ||
      die "cannot build $crate $version"
    rm -rf "$tools/build"
  fi
  PATH=$tools/$crate-$version/bin:$PATH
}

# at_least A B: whether version A is B or newer.
at_least() {
  [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]
}
