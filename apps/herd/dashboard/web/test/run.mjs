// Runs the unit tests under Node.js: each is bundled with what it imports, then handed to node:test.
//
//   node test/run.mjs [--work FOLDER]      FOLDER holds node_modules; the default is this room's own
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const at = process.argv.indexOf('--work')
const work = at < 0 ? dirname(here) : process.argv[at + 1]
if (!existsSync(join(work, 'node_modules/esbuild'))) {
  console.error('esbuild is not installed: npm could not fetch it')
  process.exit(77)
}
const esbuild = createRequire(join(work, 'package.json'))('esbuild')
const out = mkdtempSync(join(tmpdir(), 'herd-dashboard-'))
try {
  const tests = readdirSync(here).filter((name) => name.endsWith('.test.ts'))
  await esbuild.build({
    entryPoints: tests.map((name) => join(here, name)), outdir: out, outExtension: { '.js': '.mjs' }, bundle: true, platform: 'node', format: 'esm',
    nodePaths: [join(work, 'node_modules')], jsx: 'automatic', jsxImportSource: 'preact', logLevel: 'warning'
  })
  const done = spawnSync(process.execPath, ['--test', ...tests.map((name) => join(out, name.replace(/\.ts$/, '.mjs')))], { stdio: 'inherit' })
  process.exitCode = done.status ?? 1
} finally {
  rmSync(out, { recursive: true, force: true })
}
