// alarm.js → alarm-js.wasm: the engine, the script and the WIT in one component. All features are off,
// so that it imports no WASI: the host refuses a component that does.

import { componentize } from '@bytecodealliance/componentize-js';
import { readFile, writeFile } from 'node:fs/promises';

const out = process.argv[2] ?? 'alarm-js.wasm';
const { component } = await componentize(await readFile('alarm.js', 'utf8'), {
  witPath: 'wit',
  worldName: 'classify-plugin',
  disableFeatures: ['random', 'stdio', 'clocks', 'http', 'fetch-event'],
});
await writeFile(out, component);
