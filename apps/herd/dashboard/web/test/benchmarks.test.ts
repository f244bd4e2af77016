import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BenchmarkProgress, isRunning, shareDone, startBody, type Wish } from '../src/core/benchmarks.ts'
import { parsePlace } from '../src/core/router.ts'

const wish: Wish = { mode: 'default', duration: 30, types: ['llm'], models: '', pull: true }
const now: BenchmarkProgress = { status: 'idle', phase: 'idle', elapsed: 0, duration: 20, requests_completed: 0, requests_failed: 0, tok_per_sec: 0, models: [], models_pulled: [], pull_progress: {}, error: null, run_id: null }

test('a start says what was chosen, and asks for pulls only where models are named and the mode is smart', () => {
  assert.deepEqual(startBody(wish), { mode: 'default', duration: 30, model_types: ['llm'] })
  assert.deepEqual(startBody({ ...wish, models: ' a:1b, b ' }), { mode: 'default', duration: 30, model_types: ['llm'], models: ['a:1b', 'b'] })
  assert.deepEqual(startBody({ ...wish, mode: 'smart' }), { mode: 'smart', duration: 30, model_types: ['llm'] })
  assert.equal(startBody({ ...wish, mode: 'smart', models: 'a' }).allow_pull, true)
  assert.equal(startBody({ ...wish, mode: 'smart', models: 'a', pull: false }).allow_pull, undefined)
})

test('what is done of a benchmark is known while it runs and while it pulls', () => {
  assert.equal(shareDone(now), null)
  assert.equal(shareDone({ ...now, status: 'running', elapsed: 5 }), 0.25)
  assert.equal(shareDone({ ...now, status: 'running', elapsed: 25 }), 1)
  assert.equal(shareDone({ ...now, status: 'pulling', pull_progress: { model: 'a', percent: 40 } }), 0.4)
  assert.ok(isRunning('warming_up') && !isRunning('complete') && !isRunning('cancelled'))
})

test('benchmarks have a page of their own, and each run one', () => {
  assert.equal(parsePlace('/dashboard/benchmarks', '').view, 'benchmarks')
  assert.equal(parsePlace('/dashboard/benchmarks/mg1x8', '').id, 'mg1x8')
})
