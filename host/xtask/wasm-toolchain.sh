#!/usr/bin/env bash
# Makes `cargo build --target wasm32-unknown-unknown` possible.
#
#   wasm-toolchain.sh ensure   set up; does nothing when it is already there
#   wasm-toolchain.sh env      print NAME=value lines for the environment of a guest build
#   wasm-toolchain.sh where    say which path is in use: rustup, deb or none
#
# 1. The toolchain in use already has the target          -> use it
# 2. rustup may download (not where RUSTUP_AUTO_INSTALL=0, nor with WASM_RUST_VIA=deb)
#                                                         -> `rustup target add`
# 3. otherwise (no download site): Debian's rustc-web + rust-web-src, unpacked (not installed)
#    into a private folder, std compiled once for the target; the linker is rustup's own rust-lld.
# The host is always built by the rustup toolchain; nothing under /usr or ~/.rustup changes in 3.
set -euo pipefail

TARGET=wasm32-unknown-unknown
HOME_DIR=${WASM_RUST_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/wasm-rust}
DEB_VERSION=${WASM_RUST_DEB_VERSION:-}      # empty: apt's candidate, e.g. 1.96.0+dfsg1-1~deb12u2
VIA=${WASM_RUST_VIA:-auto}                  # auto | rustup | deb

say() { printf 'wasm-toolchain: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# always the toolchain in use, whatever RUSTC says
host_rustc() { env -u RUSTC rustc "$@"; }
host_sysroot() { host_rustc --print sysroot; }
host_triple() { host_rustc -vV | sed -n 's/^host: //p'; }
host_tools() { printf '%s/lib/rustlib/%s/bin' "$(host_sysroot)" "$(host_triple)"; }

# rlibs of std for the target in a sysroot?
has_std() { compgen -G "$1/lib/rustlib/$TARGET/lib/libstd-*.rlib" >/dev/null; }

private_root() { printf '%s/usr' "$HOME_DIR/root"; }

# RUSTUP_AUTO_INSTALL=0 says: rustup is not to fetch anything on this machine
may_use_rustup() {
  command -v rustup >/dev/null || return 1
  case $VIA in
    rustup) return 0 ;;
    deb) return 1 ;;
    *) [ "${RUSTUP_AUTO_INSTALL:-1}" != 0 ] ;;
  esac
}

path_in_use() {
  if [ "$VIA" != deb ] && has_std "$(host_sysroot)"; then echo rustup
  elif [ "$VIA" != rustup ] && [ -f "$HOME_DIR/.complete" ]; then echo deb
  else echo none; fi
}

# what a package needs and this machine, perhaps a bare container, has not: libedit2 and what that needs
missing_below() {
  local package
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$1" \
    | grep -x '[a-z0-9][a-z0-9.+-]*' | sort -u \
    | while read -r package; do
        case $package/$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
          "$1"/* | *" ok installed") ;;
          *) echo "$package" ;;
        esac
      done
}

fetch_debs() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null \
    || die "no rustup download site and no apt-get: install the target with 'rustup target add $TARGET'"
  local rel ver llvm libstd f
  apt-cache policy rustc-web 2>/dev/null | grep -q 'Candidate: [0-9]' || nice apt-get update -qq
  ver=${DEB_VERSION:-$(apt-cache policy rustc-web | sed -n 's/ *Candidate: //p')}
  [ -n "$ver" ] && [ "$ver" != "(none)" ] || die "apt has no rustc-web"
  rel=${ver%%[+-]*}; rel=${rel%.*}                                  # 1.96
  libstd="libstd-rust-web-$rel"
  llvm=$(apt-cache show "$libstd=$ver" | sed -n 's/^Depends:.*\(libllvm[0-9.]*\).*/\1/p' | head -1)
  [ -n "$llvm" ] || die "cannot tell which libllvm $libstd needs"
  rm -rf "$HOME_DIR/root" "$HOME_DIR/debs"; mkdir -p "$HOME_DIR/debs" "$HOME_DIR/root"
  say "fetching rustc-web $ver and its source (about 140 MB)"
  # shellcheck disable=SC2046 # names of packages, one word each
  ( cd "$HOME_DIR/debs" && apt-get download -qq "rustc-web=$ver" "$libstd=$ver" "libstd-rust-web-dev=$ver" \
      "rust-web-src=$ver" "$llvm" $(missing_below "$llvm") 2>/dev/null ) || die "apt could not download rustc-web $ver"
  for f in "$HOME_DIR"/debs/*.deb; do
    case $f in
      */rust-web-src_*) dpkg-deb --fsys-tarfile "$f" | tar -x -C "$HOME_DIR/root" --wildcards './usr/src/rustc-*/library' ;;
      *) dpkg-deb --fsys-tarfile "$f" | tar -x -C "$HOME_DIR/root" --exclude='./usr/share' --exclude='./usr/libexec' --exclude='./usr/bin/rustdoc' ;;
    esac
  done
  rm -rf "$HOME_DIR/debs"
}

# a `rustc` that finds its own libraries, whatever called it
write_wrapper() {
  mkdir -p "$HOME_DIR/bin"
  cat >"$HOME_DIR/bin/rustc" <<EOF
#!/bin/sh
LD_LIBRARY_PATH="$(private_root)/lib/x86_64-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" exec "$(private_root)/bin/rustc" "\$@"
EOF
  chmod +x "$HOME_DIR/bin/rustc"
}

build_std() {
  local root lib work dst
  root=$(private_root)
  lib=$(echo "$root"/src/rustc-*/library)
  [ -f "$lib/Cargo.lock" ] || die "no library source in $root/src"
  work=$HOME_DIR/std-build; rm -rf "$work"; mkdir -p "$work/src" "$work/.cargo"
  : >"$work/src/lib.rs"
  printf '[package]\nname = "stdseed"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n' >"$work/Cargo.toml"
  # the source package carries std's own few dependencies: no registry needed
  printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "%s/vendor"\n' "$lib" >"$work/.cargo/config.toml"
  say "compiling std for $TARGET (once, about a minute)"
  ( cd "$work" && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u RUSTC_WRAPPER -u CARGO_BUILD_TARGET \
      RUSTC="$HOME_DIR/bin/rustc" RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT="$lib" \
      CARGO_TARGET_DIR="$work/target" CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-Cembed-bitcode=yes" \
      nice cargo build -q --release -Zbuild-std=std,panic_abort --target "$TARGET" ) || die "std did not compile"
  dst=$root/lib/rustlib/$TARGET/lib
  rm -rf "$root/lib/rustlib/$TARGET"; mkdir -p "$dst"
  cp "$work"/target/"$TARGET"/release/deps/lib*.rlib "$dst"/
  rm -f "$dst"/libstdseed*.rlib
  rm -rf "$work" "$root/src"
}

install_linker() { # rust-lld is in every rustup toolchain's own bin
  local dst
  dst=$(private_root)/lib/rustlib/$(host_triple)/bin
  [ -x "$(host_tools)/rust-lld" ] || die "no rust-lld in $(host_tools)"
  rm -rf "$dst"; mkdir -p "$dst"; ln -s "$(host_tools)/rust-lld" "$dst/rust-lld"
}

ensure() {
  [ "$(path_in_use)" = none ] || return 0
  if may_use_rustup; then
    say "rustup target add $TARGET"
    if timeout 300 rustup target add "$TARGET" >&2 && has_std "$(host_sysroot)"; then return 0; fi
    [ "$VIA" != rustup ] || die "rustup cannot add $TARGET"
  fi
  [ "$(uname -m)" = x86_64 ] || die "the Debian path is written for x86_64 only: 'rustup target add $TARGET'"
  mkdir -p "$HOME_DIR"
  exec 9>"$HOME_DIR/.lock"; flock 9
  [ ! -f "$HOME_DIR/.complete" ] || return 0
  fetch_debs; write_wrapper; install_linker; build_std
  "$HOME_DIR/bin/rustc" -V >"$HOME_DIR/.complete"
  say "ready: $(cat "$HOME_DIR/.complete")"
}

# Guest crates link through wasm-component-ld, which every rustup toolchain carries: `cargo build`
# then writes a component at once.
print_env() {
  case $(path_in_use) in
    deb) echo "RUSTC=$HOME_DIR/bin/rustc" ;;   # cargo stays rustup's
    rustup) ;;
    none) die "run '$0 ensure' first" ;;
  esac
  echo "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(host_tools)/wasm-component-ld"
}

case ${1:-} in
  ensure) ensure ;;
  env) print_env ;;
  where) path_in_use ;;
  *) die "usage: wasm-toolchain.sh ensure | env | where" ;;
esac
