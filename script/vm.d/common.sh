# shellcheck shell=bash
# Settings and helpers for script/vm and the scripts in this directory; sourced.
# shellcheck disable=SC2034  # used by the scripts that source this

vm_d=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
project=$(dirname "$(dirname "$vm_d")")
# shellcheck source-path=SCRIPTDIR source=../lib.sh
source "$project/script/lib.sh"

# The kernels of a normal run. A name is a series in Debian's cloud flavour; "6.1-amd64" is the
# same series in the standard flavour, "6.1-arm64" the cloud flavour for arm64.
matrix=(5.10 6.1 6.12 6.18 7.2)
other_flavour=6.1-amd64
arm64_kernels=(6.12-arm64)

# Kernels on which perf and bpftrace run alongside tcc-trace, which takes more memory.
tool_kernels=(6.1 7.2)
# Of the matrix, the one that boots in other configurations, too: its security modules have lockdown. By the name that
# tests/kernels.list has, their kernel parameters.
variant_kernel=6.12
declare -A variants=(
  [locked]='lockdown=confidentiality'
  [integrity]='lockdown=integrity'
  [noipv6]='ipv6.disable=1'
  # For guest/init.
  [cgroup1]='tcc.cgroup1'
)
# Those of a normal run; with --full all run.
normal_variants=(locked)
tools=(bpftrace perf tcpconnect.bt tcpaccept.bt tcplife.bt tcpretrans.bt tcpdrop.bt)

# Outside the tree, to share it between checkouts and clean builds.
cache=${TCC_KERNEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tcc-trace/kernels}

VM_ACCEL=${VM_ACCEL:-tcg}       # tcg | kvm: not detected, as an existing /dev/kvm may not work
VM_CPUS=${VM_CPUS:-2}
VM_MEMORY=${VM_MEMORY:-1024}    # MiB
VM_TIMEOUT=${VM_TIMEOUT:-2700}   # seconds for one kernel, boot and tests
VM_BOOT_TIMEOUT=${VM_BOOT_TIMEOUT:-180} # seconds until the first process runs
VM_JOBS=${VM_JOBS:-$(($(nproc) + 1))} # machines at a time; each emulates on one CPU, and waits for its timers now and then
tests_per_machine=60            # with more, a kernel gets several machines
VM_TOOLS=${VM_TOOLS:-}          # additional host programs for the guest
VM_ENV=${VM_ENV:-}              # additional variables for the tests

# Exit statuses of a kernel's run other than those of the test program, which are 0 and 101.
exit_not_started=90
exit_crashed=91
exit_splat=92 # also in guest/run
exit_hung=124

# Matches a splat in the kernel log; also in guest/run.
splat='WARNING:|BUG:|Oops'

# QEMU 7.2's emulation of cmpxchg16b crashes some kernels now and then: hide the instruction.
tcg_cpu=qemu64,-cx16
# The newer CPUs authenticate pointers, which is slow to emulate.
tcg_cpu_arm64=cortex-a72

case $VM_ACCEL in
  tcg) ;;
  kvm) [[ -w /dev/kvm ]] || die 'VM_ACCEL=kvm: /dev/kvm is not writable; use VM_ACCEL=tcg' ;;
  *) die "VM_ACCEL=$VM_ACCEL: must be tcg or kvm" ;;
esac

# arch_of KERNEL: Debian's name of its architecture.
arch_of() {
  case $1 in
    *-arm64*) echo arm64 ;;
    *) echo amd64 ;;
  esac
}

# on_host PROGRAM ARG…: runs a program of either architecture on this machine.
on_host() {
  if readelf --file-header "$1" | grep -q AArch64; then
    qemu-aarch64-static "$@"
  else
    "$@"
  fi
}

# arguments_for TESTS KERNEL [ARG…]: the arguments of the test program on that kernel, a line each. If none names tests, the
# selection of tests/kernels.list; with VM_FULL all tests listed there. KERNEL:VARIANT: those for that configuration.
arguments_for() {
  if [[ " ${*:3}" != *' '[^-]* ]]; then
    echo --exact
    if [[ -n ${variants[${2#*:}]-} ]]; then
      "$vm_d/select" "$1" "${2%:*}" "--variant=${2#*:}"
    else
      "$vm_d/select" "$1" "$2" ${VM_FULL:+--full}
    fi
  fi
  (($# < 3)) || printf '%s\n' "${@:3}"
}

# take_lock FILE WHAT: lock FILE until this process ends; print a message if it has to wait.
take_lock() {
  exec {lock_fd}>"$1"
  flock --nonblock "$lock_fd" && return
  say "another run is using $2; waiting for it"
  flock "$lock_fd"
}

# pack_dir DIR: DIR as a cpio archive that the kernel can unpack. Not compressed, as decompression is slow
# on an emulated CPU.
pack_dir() {
  (cd "$1" && find . -print0 | LC_ALL=C sort --zero-terminated |
    cpio --null --create --format=newc --quiet --owner=0:0)
}

# short_hash: a short hash of stdin.
short_hash() { sha256sum | cut -c1-12; }

# cached_version SERIES: the release of the cached kernel, or nothing.
cached_version() { cat "$cache/$1/version" 2>/dev/null || true; }

# drop_old DIR NAME KEEP: remove outdated archives of that name. Recent ones may belong to another
# checkout.
drop_old() {
  find "$1" -maxdepth 1 -name "$2-*" -mtime +7 ! -path "$3*" -delete
}

# show_console FILE: its end, if a guest failed without output.
show_console() {
  echo "--- the last lines of the kernel's console:" >&2
  tr -d '\r' <"$1" | tail -n 60 >&2
}
