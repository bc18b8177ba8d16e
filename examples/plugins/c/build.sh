#!/bin/sh
# alarm.c → alarm-c.wasm: bindings of the WIT, the core module, and the component around it.
#
#   WIT_BINDGEN        wit-bindgen 0.61.1            (default: on the path)
#   WASM_COMPONENT_LD  the linker of rustup's toolchains, which makes components (default: found by rustc)
set -eu
out=${1:-alarm-c.wasm}
wit_bindgen=${WIT_BINDGEN:-wit-bindgen}
host=$(rustc -vV | sed -n 's/^host: //p')
linker=${WASM_COMPONENT_LD:-$(rustc --print sysroot)/lib/rustlib/$host/bin/wasm-component-ld}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

"$wit_bindgen" c wit --world classify-plugin --out-dir "$build" >/dev/null
for source in alarm.c "$build/classify_plugin.c"; do
  clang --target=wasm32-wasi -O2 -std=c11 -Wall -Wextra -I"$build" -c "$source" \
    -o "$build/$(basename "$source" .c).o"
done
# A library without main: the functions that the bindings export are the way in. Of the C library only
# what needs no system is linked, so that nothing of WASI is imported.
"$linker" --wasm-ld-path "$(command -v wasm-ld)" --no-entry --strip-all --gc-sections \
  "$build/alarm.o" "$build/classify_plugin.o" "$build/classify_plugin_component_type.o" \
  -L/usr/lib/wasm32-wasi -lc -o "$out"
