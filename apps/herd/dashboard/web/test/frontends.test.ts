import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endpointOf } from '../src/core/dialects.ts'
import { allowances, changesOf, endpointsOf, frontendOfHost, limitsOf, pinnedFields, settable, targetsOf } from '../src/core/frontends.ts'
import { fullName, isPinned, pinBehind, pinnedOn, pinPath } from '../src/core/pins.ts'
import { snippet } from '../src/core/snippets.ts'
import type { Frontend, Pins } from '../src/core/types.ts'

const a: Frontend = { id: 'team-a', name: 'Team A', source: 'herd.toml', hostnames: ['a.lan', '*.a.lan'], path_prefix: true, active: true, allow_embeddings: false, per_minute: 600, burst: 0, max_parallel: 20, total_timeout: '90s', idle_timeout: '0s', members: ['n1'], use: null, in_flight: 2,
  pinned_completions_ollama: { options: { num_ctx: 16384, stop: ['x'] }, keep_alive: null }, pinned_completions: {} }
const b: Frontend = { id: 'b', source: 'managed', hostnames: ['deep.a.lan', '*.lan'], path_prefix: false }
const rest: Frontend = { id: 'rest', source: 'herd.toml', hostnames: ['*'], path_prefix: false }
const all = [rest, a, b]

test('a host name leads where herd would send it: exactly, by the longest suffix, by the catch-all', () => {
  assert.equal(frontendOfHost(all, 'A.lan')?.id, 'team-a')
  assert.equal(frontendOfHost(all, 'x.a.lan')?.id, 'team-a')
  assert.equal(frontendOfHost(all, 'deep.a.lan')?.id, 'b')
  assert.equal(frontendOfHost(all, 'other.lan')?.id, 'b')
  assert.equal(frontendOfHost(all, '127.0.0.1')?.id, 'rest')
  assert.equal(frontendOfHost([a], '127.0.0.1'), undefined)
})

test('the explorer can send to paths, and names what only another page can call', () => {
  assert.deepEqual(targetsOf(all, '127.0.0.1'), [{ id: 'team-a', name: 'Team A', base: '/f/team-a', host: '' }, { id: 'b', name: 'b', base: '', host: 'deep.a.lan' }])
  assert.deepEqual(targetsOf(all, 'a.lan').map((each) => each.id), ['b'], 'where the page is, and what has no name of its own, are no choice')
  assert.deepEqual(targetsOf([{ id: 'default', source: 'built-in' }], 'x'), [])
})

test('a request to a frontend is written down as it would have to be sent', () => {
  const out = { endpoint: endpointOf('chat'), body: '{"model":"m"}', headers: {} }
  assert.match(snippet('curl', { ...out, base: '/f/team-a' }, 'http://h:1'), /^curl -N http:\/\/h:1\/f\/team-a\/api\/chat/)
  assert.match(snippet('curl', { ...out, host: 'deep.a.lan' }, 'http://h:1'), /-H 'Host: deep\.a\.lan'/)
  assert.match(snippet('python', { ...out, host: 'deep.a.lan' }, 'http://h:1'), /headers=\{"Host":"deep\.a\.lan"\}/)
  assert.match(snippet('javascript', { ...out, host: 'deep.a.lan' }, 'http://h:1'), /fetch\('http:\/\/deep\.a\.lan:1\/api\/chat'/)
  assert.doesNotMatch(snippet('curl', out, 'http://h:1'), /Host/)
})

test('a frontend is told in words', () => {
  assert.deepEqual(endpointsOf(a).map((each) => each.text), ['a.lan', '*.a.lan', '/f/team-a'])
  assert.deepEqual(limitsOf(a), ['600 a minute', '20 at a time', 'whole within 90s'])
  assert.deepEqual(allowances(a).filter(([, allowed]) => allowed).map(([text]) => text), ['completions', 'retries'])
  assert.deepEqual(pinnedFields(a), [{ where: 'completions, Ollama', path: 'options.num_ctx', value: '16384' }, { where: 'completions, Ollama', path: 'options.stop', value: '["x"]' },
    { where: 'completions, Ollama', path: 'keep_alive', value: 'null' }])
})

test('a change sends what differs, and no figure that is only told', () => {
  const before = settable(a)
  assert.ok(!('in_flight' in before) && !('members' in before) && !('id' in before) && 'hostnames' in before)
  const { total_timeout: _, ...after } = { ...before, per_minute: 10 }
  assert.deepEqual(changesOf(before, after), { per_minute: 10, total_timeout: null })
  assert.deepEqual(changesOf(before, before), {})
})

test('pins are found by the name with or without its tag', () => {
  const pins: Pins = {
    pins: [{ model: 'embed:latest', node: 'n1', node_id: '1', replicas: 1, source: 'herd.toml' }, { model: 'M:3b', node: null, node_id: null, replicas: 2, source: 'managed' }],
    models: [{ model: 'embed:latest', node: 'n1', node_id: '1', state: 'resident' }, { model: 'm:3b', node: 'n2', node_id: '2', state: 'loading' }]
  }
  assert.equal(fullName('reg.io:5000/ns/m'), 'reg.io:5000/ns/m:latest')
  assert.equal(pinnedOn(pins, 'embed', 'n1')?.state, 'resident')
  assert.equal(pinnedOn(pins, 'embed', 'n2'), undefined)
  assert.ok(isPinned(pins, 'm:3b') && !isPinned(pins, 'm') && !isPinned(null, 'm'))
  assert.equal(pinBehind(pins, pins.models[1]!)?.source, 'managed')
  assert.equal(pinPath(pins.pins[0]!), '/herd/v1/pins/embed%3Alatest?node=n1')
  assert.equal(pinPath(pins.pins[1]!), '/herd/v1/pins/M%3A3b')
})
