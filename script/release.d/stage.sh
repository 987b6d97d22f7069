# shellcheck shell=bash
# What is in packages, apart from the programs, and the packages themselves. Sourced by script/release; works in the current
# directory, a tree with the programs in target/package.
: "${root?}"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
# Debian and RPM sort ~ before everything else, so that a release candidate is older than its release.
package_version=${version/-/\~}

# static_packages TARGET: the libraries in its static program. A line each: DATABASE PACKAGE NOTICE, a Debian package, the database of
# dpkg that has it, and its file of copyright notices. Versions and notices are published with the program.
static_packages() {
  local libraries names=(libelf-dev zlib1g-dev) name
  libraries=$(libraries_of "$1")
  if [[ $1 != "$(host_target)" ]]; then
    # Packages for cross-building have the notices of an old version.
    echo "/var/lib/dpkg libc6-dev-arm64-cross $libraries/usr/share/doc/libc6/copyright"
  else
    names+=(libc6-dev)
    ! pkg-config --static --libs-only-l libelf | grep -q -- -lzstd || names+=(libzstd-dev)
  fi
  for name in "${names[@]}"; do
    echo "${libraries%/}/var/lib/dpkg $name ${libraries%/}/usr/share/doc/$name/copyright"
  done
}

# put MODE FILE DESTINATION…
put() {
  local mode=$1 file=$2
  shift 2
  for destination; do install -D -m "$mode" "$file" "target/package/$destination"; done
}

touch_all() { find "$1" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +; }

# stage PROGRAM: fills target/package/deb, rpm, rpm-doc and tar. PROGRAM runs on this machine.
stage() {
  local program=$1 texts=target/package/texts file name
  mkdir -p "$texts"
  "$program" man >"$texts/tcc-trace.1"
  "$program" completions bash >"$texts/tcc-trace.bash"
  "$program" completions zsh >"$texts/_tcc-trace"
  "$program" completions fish >"$texts/tcc-trace.fish"
  put 644 "$texts/tcc-trace.1" tar/man/man1/tcc-trace.1
  gzip --best --no-name --keep "$texts/tcc-trace.1"
  put 644 "$texts/tcc-trace.1.gz" {deb,rpm-doc}/usr/share/man/man1/tcc-trace.1.gz
  put 644 "$texts/tcc-trace.bash" {deb,rpm}/usr/share/bash-completion/completions/tcc-trace tar/completions/tcc-trace.bash
  put 644 "$texts/_tcc-trace" deb/usr/share/zsh/vendor-completions/_tcc-trace rpm/usr/share/zsh/site-functions/_tcc-trace \
    tar/completions/_tcc-trace
  put 644 "$texts/tcc-trace.fish" {deb,rpm}/usr/share/fish/vendor_completions.d/tcc-trace.fish tar/completions/tcc-trace.fish

  third_party >"$texts/THIRD-PARTY.txt"
  put 644 "$texts/THIRD-PARTY.txt" tar/licences/THIRD-PARTY.txt rpm-doc/usr/share/licenses/tcc-trace/THIRD-PARTY.txt
  gzip --best --no-name --keep "$texts/THIRD-PARTY.txt"
  put 644 "$texts/THIRD-PARTY.txt.gz" deb/usr/share/doc/tcc-trace/THIRD-PARTY.txt.gz
  for file in LICENSE-*; do
    put 644 "$file" "tar/licences/$file" "rpm-doc/usr/share/licenses/tcc-trace/$file"
  done
  put 644 docs/licences.md {deb,rpm-doc}/usr/share/doc/tcc-trace/licences.md tar/licences/licences.md
  # Those that the notices of libraries in the static program name.
  for name in GPL-2 GPL-3 LGPL-2.1 LGPL-3; do
    put 644 "/usr/share/common-licenses/$name" "tar/licences/$name"
  done

  gzip --best --no-name <CHANGELOG.md >"$texts/changelog.gz"
  put 644 "$texts/changelog.gz" {deb,rpm-doc}/usr/share/doc/tcc-trace/changelog.gz
  put 644 CHANGELOG.md tar/CHANGELOG.md
  put 644 README.md tar/README.md
  put 644 Containerfile tar/Containerfile
  # Units and their configuration where they belong, and the rest as examples, in one directory.
  while IFS= read -r file; do
    put 644 "$file" "tar/$file"
    case $file in
      contrib/systemd/*.service) put 644 "$file" "deb/usr/lib/systemd/system/${file##*/}" "rpm/usr/lib/systemd/system/${file##*/}" ;;
      contrib/systemd/*) put 644 "$file" {deb,rpm-config}/etc/tcc-trace/"${file##*/}" ;;
      *)
        name=${file#contrib/}
        put 644 "$file" {deb,rpm-doc}/usr/share/doc/tcc-trace/examples/"${name//\//-}"
        ;;
    esac
  done < <(find contrib -type f | sort)
  script/release.d/debian-changelog "$(maintainer)" "$version" >target/package/changelog.Debian
}

maintainer() { sed -n 's/^maintainer = "\(.*\)"$/\1/p' Cargo.toml; }

# The notices of all that is linked into both programs, or embedded.
third_party() {
  cargo about generate --config packaging/about.toml --features parquet --locked --offline --fail packaging/licences.hbs
  echo '------------------------------------------------------------------------'
  printf 'uPlot, in the pages of report\n\n'
  cat src/report/assets/uPlot.LICENSE
}

# choose_program TARGET: the program that the next packages have.
choose_program() { cp "target/package/$(debian_arch "$1")/tcc-trace" target/package/bin/tcc-trace; }

# make_deb TARGET DIRECTORY [OPTIONS OF CARGO DEB]: dpkg-shlibdeps finds what the program depends on.
make_deb() (
  target=$1 to=$2
  shift 2
  if [[ $target != "$(host_target)" ]]; then
    need_packages binutils-aarch64-linux-gnu
    TCC_LIBRARIES=$(libraries_of "$target")
    PATH=$PWD/script/release.d/cross:$PATH
    export TCC_LIBRARIES
  fi
  made=$(cargo deb --quiet --no-build --no-strip --locked --offline --target "$target" --output "$to" "$@")
  # It only warns if it finds none.
  [[ -n $(dpkg-deb --field "$made" Depends) ]] || die "$made depends on nothing"
)

# make_rpm TARGET DIRECTORY [VERSION]
make_rpm() {
  local variant=()
  [[ ! -d target/package/rpm-config ]] || variant=(--variant config)
  cargo generate-rpm --target "$1" "${variant[@]}" --auto-req script/release.d/rpm-requires \
    --set-metadata "version = \"${3:-$package_version}\"" --output "$2" >/dev/null
}

# make_tarball TARGET PROGRAM: with the notices of the libraries in it.
make_tarball() {
  local name=tcc-trace-$version-linux-${1%%-*} package notice
  install -m 755 "$2" target/package/tar/tcc-trace
  while read -r _ package notice; do
    put 644 "$notice" "tar/licences/${package%%-dev*}.txt"
  done < <(static_packages "$1")
  touch_all target/package/tar
  tar --create --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    --transform "s,^\.,$name," --directory target/package/tar . | gzip --best --no-name >"target/dist/$name.tar.gz"
}

make_sbom() {
  local name=tcc-trace-$version-linux-${1%%-*}.cdx
  cargo cyclonedx --quiet --format json --spec-version 1.5 --target "$1" --features static,parquet --no-build-deps \
    --override-filename "$name"
  mv "$name.json" target/dist/
  static_packages "$1" | script/release.d/sbom "target/dist/$name.json" "$PWD"
}
