# shellcheck shell=bash
# What is in packages, apart from the programs, and the packages themselves. Sourced by script/release; works in the current
# directory, a tree with the programs in target/package.
: "${root?}" "${static_packages?}"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
# Debian and RPM sort ~ before everything else, so that a release candidate is older than its release.
package_version=${version/-/\~}

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
  # The static program contains these libraries: their notices, and the licences that these name.
  for name in "${static_packages[@]}"; do
    put 644 "/usr/share/doc/$name/copyright" "tar/licences/${name%-dev}.txt"
  done
  for name in GPL-2 GPL-3 LGPL-2.1 LGPL-3; do
    put 644 "/usr/share/common-licenses/$name" "tar/licences/$name"
  done

  gzip --best --no-name <CHANGELOG.md >"$texts/changelog.gz"
  put 644 "$texts/changelog.gz" {deb,rpm-doc}/usr/share/doc/tcc-trace/changelog.gz
  put 644 CHANGELOG.md tar/CHANGELOG.md
  put 644 README.md tar/README.md
  put 644 Containerfile tar/Containerfile
  # Units where they belong, and the rest as examples, in one directory.
  while IFS= read -r file; do
    put 644 "$file" "tar/$file"
    case $file in
      contrib/systemd/*.service) put 644 "$file" "deb/usr/lib/systemd/system/${file##*/}" "rpm/usr/lib/systemd/system/${file##*/}" ;;
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

make_deb() {
  cargo deb --quiet --no-build --no-strip --locked --offline --target "$1" --output target/dist/ >/dev/null
}

make_rpm() {
  cargo generate-rpm --target "$1" --auto-req script/release.d/rpm-requires \
    --set-metadata "version = \"$package_version\"" --output target/dist/ >/dev/null
}

# make_tarball TARGET PROGRAM
make_tarball() {
  local name=tcc-trace-$version-linux-${1%%-*}
  install -m 755 "$2" target/package/tar/tcc-trace
  touch_all target/package/tar
  tar --create --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    --transform "s,^\.,$name," --directory target/package/tar . | gzip --best --no-name >"target/dist/$name.tar.gz"
}

make_sbom() {
  local name=tcc-trace-$version-linux-${1%%-*}.cdx
  cargo cyclonedx --quiet --format json --spec-version 1.5 --target "$1" --features static,parquet --no-build-deps \
    --override-filename "$name"
  mv "$name.json" target/dist/
  script/release.d/sbom "target/dist/$name.json" "$PWD" "${static_packages[@]/%/:$(debian_arch "$1")}"
}
