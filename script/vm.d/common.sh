# shellcheck shell=bash
# Settings and small helpers of script/vm and of everything beside this file; sourced.
# shellcheck disable=SC2034  # used by the scripts that source this

vm_d=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
project=$(dirname "$(dirname "$vm_d")")
# shellcheck source-path=SCRIPTDIR source=../lib.sh
source "$project/script/lib.sh"

# The kernels of a normal run. A name is Debian's series in the cloud flavour; "6.1-amd64" is the
# same series in the ordinary flavour.
matrix=(5.10 6.1 6.12 6.18 7.2)
other_flavour=6.1-amd64

# Where perf and bpftrace run beside tcc-trace, for which their memory has to suffice.
tool_kernels=(6.1 7.2)
tools=(bpftrace perf tcpconnect.bt tcpaccept.bt tcplife.bt tcpretrans.bt tcpdrop.bt)

# Outside the tree, so that every checkout and every clean build shares it.
cache=${TCC_KERNEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tcc-trace/kernels}

VM_ACCEL=${VM_ACCEL:-tcg}       # tcg | kvm: chosen, never guessed; a /dev/kvm that exists may still boot nothing
VM_CPUS=${VM_CPUS:-2}
VM_MEMORY=${VM_MEMORY:-1024}    # MiB
VM_TIMEOUT=${VM_TIMEOUT:-1500}   # seconds for one kernel, boot and tests
VM_BOOT_TIMEOUT=${VM_BOOT_TIMEOUT:-180} # seconds until its first process runs
VM_JOBS=${VM_JOBS:-2}           # machines at a time; a third on two CPUs slows all of them down, and saves nothing
tests_per_machine=110           # beyond, a kernel gets two
VM_TOOLS=${VM_TOOLS:-}          # more host programs to put into the guest
VM_ENV=${VM_ENV:-}              # more variables to hand to the tests

# How a kernel's run ends when it is not the test program that decides; that ends with 0 or 101.
exit_not_started=90
exit_crashed=91
exit_splat=92 # also in guest/run
exit_hung=124

# What in the kernel's log is a splat; also in guest/run.
splat='WARNING:|BUG:|Oops'

# QEMU 7.2's emulation of cmpxchg16b crashes some kernels now and then: hide the instruction.
tcg_cpu=qemu64,-cx16

case $VM_ACCEL in
  tcg) ;;
  kvm) [[ -w /dev/kvm ]] || die 'VM_ACCEL=kvm: /dev/kvm cannot be written' ;;
  *) die "VM_ACCEL=$VM_ACCEL: tcg or kvm" ;;
esac

# arguments_for TESTS KERNEL [ARG…]: what the test program is given on that kernel, a line each. Where no argument is the name of
# tests, those of tests/kernels.list; with VM_FULL all of these.
arguments_for() {
  if [[ " ${*:3}" != *' '[^-]* ]]; then
    echo --exact
    "$vm_d/select" "$1" "$2" ${VM_FULL:+--full}
  fi
  (($# < 3)) || printf '%s\n' "${@:3}"
}

# take_lock FILE WHAT: hold FILE until this process ends; say so when that means to wait.
take_lock() {
  exec {lock_fd}>"$1"
  flock --nonblock "$lock_fd" && return
  say "another run has $2; waiting for it"
  flock "$lock_fd"
}

# pack_dir DIR: DIR as a cpio archive that the kernel can unpack. Uncompressed: unpacking is what
# an emulated CPU is slowest at.
pack_dir() {
  (cd "$1" && find . -print0 | LC_ALL=C sort --zero-terminated |
    cpio --null --create --format=newc --quiet --owner=0:0)
}

# short_hash: a name for what comes in on stdin.
short_hash() { sha256sum | cut -c1-12; }

# cached_version SERIES: the release of the cached kernel, or nothing.
cached_version() { cat "$cache/$1/version" 2>/dev/null || true; }

# drop_old DIR NAME KEEP: archives of that name that another state of these scripts or of this
# machine has made; young ones may be another checkout's.
drop_old() {
  find "$1" -maxdepth 1 -name "$2-*" -mtime +7 ! -path "$3*" -delete
}

# show_console FILE: its end, for a guest that did not get to tell anything.
show_console() {
  echo "--- the last lines of the kernel's console:" >&2
  tr -d '\r' <"$1" | tail -n 60 >&2
}
