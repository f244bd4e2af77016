import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeEmbeddings, endpoints, jsonTrouble, readMessage } from '../src/core/dialects.ts'
import { type Language, pythonLiteral, snippet } from '../src/core/snippets.ts'

test('words, thinking and counts are read in each dialect, whole and streamed', () => {
  assert.equal(readMessage('ollama', { message: { content: 'a' } }).text, 'a')
  assert.equal(readMessage('ollama', { response: 'b' }).text, 'b')
  assert.equal(readMessage('ollama', { message: { content: '', thinking: 'hm' } }).thinking, 'hm')
  const end = readMessage('ollama', { done: true, eval_count: 50, eval_duration: 500_000_000, prompt_eval_count: 9 })
  assert.deepEqual([end.outputTokens, end.promptTokens, end.tokensPerS], [50, 9, 100])
  assert.equal(readMessage('openai', { choices: [{ delta: { content: 'c' } }] }).text, 'c')
  assert.equal(readMessage('openai', { choices: [{ message: { content: 'd' } }], usage: { completion_tokens: 3, prompt_tokens: 4 } }).outputTokens, 3)
  assert.equal(readMessage('openai', { choices: [], usage: { completion_tokens: 5 } }).outputTokens, 5)
  assert.equal(readMessage('anthropic', { type: 'content_block_delta', delta: { type: 'text_delta', text: 'e' } }).text, 'e')
  assert.equal(readMessage('anthropic', { type: 'message', content: [{ type: 'text', text: 'f' }], usage: { input_tokens: 2, output_tokens: 6 } }).outputTokens, 6)
  assert.equal(readMessage('anthropic', { type: 'message_start', message: { usage: { input_tokens: 8, output_tokens: 1 } } }).promptTokens, 8)
})

test('errors of all three dialects, and what is no message at all', () => {
  assert.equal(readMessage('ollama', { error: 'boom' }).error, 'boom')
  assert.equal(readMessage('openai', { error: { message: 'boom', type: 'x' } }).error, 'boom')
  assert.equal(readMessage('anthropic', { type: 'error', error: { type: 'x', message: 'boom' } }).error, 'boom')
  for (const odd of [null, 7, 'x', [], { choices: 3 }, { message: null }, { content: [null] }]) {
    assert.equal(readMessage('openai', odd).text, '')
    assert.equal(readMessage('anthropic', odd).text, '')
    assert.equal(readMessage('ollama', odd).text, '')
  }
})

test('progress of a pull and embeddings are said in short', () => {
  assert.equal(readMessage('ollama', { status: 'pulling abc', completed: 50_000_000, total: 200_000_000 }).progress, 'pulling abc 25 % of 200 MB')
  assert.match(describeEmbeddings({ embeddings: [[0.5, 0.25], [1, 2]] }), /^1: 2 numbers, 0\.5000 {2}0\.2500 …\n2: 2 numbers/)
  assert.match(describeEmbeddings({ data: [{ embedding: [0.5] }] }), /^1: 1 numbers/)
})

test('every template is JSON with its model, and says whether it streams', () => {
  for (const endpoint of endpoints) {
    const body = endpoint.template('m', true)
    assert.equal(body === null, endpoint.method === 'GET', endpoint.id)
    if (body) {
      assert.equal(body.model, 'm')
      assert.equal('stream' in body, endpoint.streams, endpoint.id)
    }
  }
})

test('the place where JSON breaks is found', () => {
  assert.equal(jsonTrouble('{"a": [1, 2.5e3, "x\\n", null]}'), null)
  const where = (source: string) => { const found = jsonTrouble(source); return found && [found.line, found.column] }
  assert.deepEqual(where('{\n  "a": 1,\n  b: 2\n}'), [3, 3])
  assert.deepEqual(where('{"a": 1,}'), [1, 9])
  assert.deepEqual(where('{"a": tru}'), [1, 7])
  assert.deepEqual(where('[1, 2'), [1, 6])
  assert.deepEqual(where(''), [1, 1])
  assert.deepEqual(where('{"a": 1} x'), [1, 10])
  assert.deepEqual(where('{"a": "x\ny"}'), [1, 9])
  assert.deepEqual(where('[01]'), [1, 3])
})

test('a request can be copied as curl, Python and JavaScript', () => {
  const endpoint = endpoints.find((each) => each.id === 'chat')
  assert.ok(endpoint)
  const out = { endpoint, body: '{"model":"m","stream":true,"prompt":"it\'s \\"true\\""}', headers: { 'X-Herd-Node': 'attic' } }
  const text = (language: Language) => snippet(language, out, 'http://herd:11435')
  assert.match(text('curl'), /^curl -N http:\/\/herd:11435\/api\/chat \\\n/)
  assert.ok(text('curl').includes(`'{"model":"m","stream":true,"prompt":"it'\\''s \\"true\\""}'`))
  assert.ok(text('python').includes('"stream":True,"prompt":"it\'s \\"true\\""'))
  assert.ok(text('python').includes('stream=True'))
  assert.ok(text('javascript').includes("fetch('http://herd:11435/api/chat', {"))
  assert.equal(pythonLiteral('[true, "null", null, "\\"false\\"", false]'), '[True, "null", None, "\\"false\\"", False]')
})
