// The endpoints the explorer knows: how a complete request looks, and how words, counts and times are read from the
// answer, whole or streamed.

export type Dialect = 'ollama' | 'openai' | 'anthropic'
export type Kind = 'text' | 'embedding' | 'progress' | 'json'

export interface Endpoint {
  id: string
  dialect: Dialect
  label: string
  method: 'GET' | 'POST' | 'DELETE'
  path: string
  kind: Kind
  streams: boolean
  /** The complete body for a model; null for requests without one. */
  template: (model: string, stream: boolean) => Record<string, unknown> | null
}

const hello = 'Why is the sky blue? Answer in two sentences.'

export const endpoints: Endpoint[] = [
  { id: 'chat', dialect: 'ollama', label: 'Chat', method: 'POST', path: '/api/chat', kind: 'text', streams: true, template: (model, stream) => ({ model, messages: [{ role: 'system', content: 'You are brief.' }, { role: 'user', content: hello }], stream, options: { temperature: 0.7, num_predict: 200 } }) },
  { id: 'generate', dialect: 'ollama', label: 'Generate', method: 'POST', path: '/api/generate', kind: 'text', streams: true, template: (model, stream) => ({ model, prompt: hello, stream, options: { temperature: 0.7, num_predict: 200 } }) },
  { id: 'embed', dialect: 'ollama', label: 'Embed, one text', method: 'POST', path: '/api/embed', kind: 'embedding', streams: false, template: (model) => ({ model, input: 'The sky is blue.' }) },
  { id: 'embed-batch', dialect: 'ollama', label: 'Embed, several texts', method: 'POST', path: '/api/embed', kind: 'embedding', streams: false, template: (model) => ({ model, input: ['The sky is blue.', 'Grass is green.'] }) },
  { id: 'tags', dialect: 'ollama', label: 'List models', method: 'GET', path: '/api/tags', kind: 'json', streams: false, template: () => null },
  { id: 'ps', dialect: 'ollama', label: 'Models in memory', method: 'GET', path: '/api/ps', kind: 'json', streams: false, template: () => null },
  { id: 'show', dialect: 'ollama', label: 'Show a model', method: 'POST', path: '/api/show', kind: 'json', streams: false, template: (model) => ({ model }) },
  { id: 'pull', dialect: 'ollama', label: 'Pull a model', method: 'POST', path: '/api/pull', kind: 'progress', streams: true, template: (model, stream) => ({ model, stream }) },
  { id: 'delete', dialect: 'ollama', label: 'Delete a model', method: 'DELETE', path: '/api/delete', kind: 'json', streams: false, template: (model) => ({ model }) },
  { id: 'openai-chat', dialect: 'openai', label: 'Chat completions', method: 'POST', path: '/v1/chat/completions', kind: 'text', streams: true, template: (model, stream) => ({ model, messages: [{ role: 'system', content: 'You are brief.' }, { role: 'user', content: hello }], stream, ...(stream ? { stream_options: { include_usage: true } } : {}), max_tokens: 200, temperature: 0.7 }) },
  { id: 'openai-completions', dialect: 'openai', label: 'Completions', method: 'POST', path: '/v1/completions', kind: 'text', streams: true, template: (model, stream) => ({ model, prompt: hello, stream, ...(stream ? { stream_options: { include_usage: true } } : {}), max_tokens: 200 }) },
  { id: 'openai-embed', dialect: 'openai', label: 'Embeddings, one text', method: 'POST', path: '/v1/embeddings', kind: 'embedding', streams: false, template: (model) => ({ model, input: 'The sky is blue.' }) },
  { id: 'openai-embed-batch', dialect: 'openai', label: 'Embeddings, several texts', method: 'POST', path: '/v1/embeddings', kind: 'embedding', streams: false, template: (model) => ({ model, input: ['The sky is blue.', 'Grass is green.'] }) },
  { id: 'openai-models', dialect: 'openai', label: 'List models', method: 'GET', path: '/v1/models', kind: 'json', streams: false, template: () => null },
  { id: 'messages', dialect: 'anthropic', label: 'Messages', method: 'POST', path: '/v1/messages', kind: 'text', streams: true, template: (model, stream) => ({ model, max_tokens: 200, system: 'You are brief.', messages: [{ role: 'user', content: hello }], stream }) },
  { id: 'count-tokens', dialect: 'anthropic', label: 'Count tokens', method: 'POST', path: '/v1/messages/count_tokens', kind: 'json', streams: false, template: (model) => ({ model, messages: [{ role: 'user', content: hello }] }) }
]

export const dialectWords: Record<Dialect, string> = { ollama: 'Ollama', openai: 'OpenAI', anthropic: 'Anthropic' }

export function endpointOf(id: string): Endpoint {
  return endpoints.find((each) => each.id === id) ?? (endpoints[0] as Endpoint)
}

/** What one message of an answer says. */
export interface Said {
  text: string
  thinking: string
  outputTokens: number | null
  promptTokens: number | null
  /** By the node's own clock, where it tells. */
  tokensPerS: number | null
  error: string
  progress: string
}

type Json = Record<string, unknown>
const object = (value: unknown): Json => (value !== null && typeof value === 'object' && !Array.isArray(value) ? value as Json : {})
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const number = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null)

function errorOf(message: Json): string {
  const error = message.error
  return text(error) || text(object(error).message)
}

function ofOllama(message: Json): Partial<Said> {
  const inner = object(message.message)
  const tokens = number(message.eval_count)
  const duration = number(message.eval_duration)
  const completed = number(message.completed)
  const total = number(message.total)
  const share = total && completed !== null ? ` ${Math.floor((100 * completed) / total)} % of ${(total / 1e6).toFixed(0)} MB` : ''
  return {
    text: text(message.response) || text(inner.content), thinking: text(inner.thinking) || text(message.thinking),
    outputTokens: tokens, promptTokens: number(message.prompt_eval_count), tokensPerS: tokens && duration ? tokens / (duration / 1e9) : null,
    progress: text(message.status) ? `${text(message.status)}${share}` : ''
  }
}

function ofOpenAi(message: Json): Partial<Said> {
  const choice = object(list(message.choices)[0])
  const part = object(choice.delta ?? choice.message)
  const usage = object(message.usage)
  return { text: text(part.content) || text(choice.text), thinking: text(part.reasoning) || text(part.reasoning_content), outputTokens: number(usage.completion_tokens), promptTokens: number(usage.prompt_tokens) }
}

function ofAnthropic(message: Json): Partial<Said> {
  const delta = object(message.delta)
  const usage = object(message.usage ?? object(message.message).usage)
  const whole = list(message.content).map((part) => object(part))
  return {
    text: text(delta.text) || whole.map((part) => text(part.text)).join(''), thinking: text(delta.thinking) || whole.map((part) => text(part.thinking)).join(''),
    outputTokens: message.type === 'message_start' ? null : number(usage.output_tokens), promptTokens: number(usage.input_tokens) || null
  }
}

/** Reads one message (a line, an event's data, or a whole body). */
export function readMessage(dialect: Dialect, message: unknown): Said {
  const json = object(message)
  const said = dialect === 'openai' ? ofOpenAi(json) : dialect === 'anthropic' ? ofAnthropic(json) : ofOllama(json)
  return { text: '', thinking: '', outputTokens: null, promptTokens: null, tokensPerS: null, progress: '', ...said, error: errorOf(json) }
}

/** Embeddings as a person can look at them: how many, how long, how they begin. */
export function describeEmbeddings(body: unknown): string {
  const json = object(body)
  const vectors = (list(json.embeddings).length ? list(json.embeddings) : list(json.data).map((each) => object(each).embedding)).filter((each): each is unknown[] => Array.isArray(each))
  if (vectors.length === 0) {
    return ''
  }
  return vectors.map((vector, i) => `${i + 1}: ${vector.length} numbers, ${vector.slice(0, 6).map((value) => (typeof value === 'number' ? value.toFixed(4) : '?')).join('  ')} …`).join('\n')
}

export interface JsonTrouble { message: string, line: number, column: number, at: number }

/** Whether `source` is JSON; where it stops being so. Engines word this differently, so the place is found here. */
export function jsonTrouble(source: string): JsonTrouble | null {
  try {
    JSON.parse(source)
    return null
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const at = firstBad(source)
    const before = source.slice(0, at)
    return { message: message.replace(/ in JSON at position.*| at line .*|^JSON\.parse: /g, '').replace(/, \.{3}".*$|, ".*$/s, ''), line: before.split('\n').length, column: at - before.lastIndexOf('\n'), at }
  }
}

/** Where `source` stops being a beginning of any JSON text. */
function firstBad(source: string): number {
  let at = 0
  const space = () => { while (at < source.length && ' \t\r\n'.includes(source[at] ?? '')) { ++at } }
  const fail = (): never => { throw new RangeError() }
  const string = () => {
    for (++at; at < source.length; ++at) {
      const letter = source[at] ?? ''
      if (letter === '"') {
        ++at
        return
      }
      if (letter < ' ') {
        fail()
      }
      if (letter === '\\') {
        const escape = /^\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.exec(source.slice(at, at + 6))
        if (!escape) {
          fail()
        } else {
          at += escape[0].length - 1
        }
      }
    }
    fail()
  }
  const value = (depth: number): void => {
    space()
    const letter = source[at] ?? ''
    if (letter === '{' || letter === '[') {
      const close = letter === '{' ? '}' : ']'
      ++at
      space()
      if (source[at] === close) {
        ++at
        return
      }
      for (;;) {
        space()
        if (letter === '{') {
          if (source[at] !== '"') {
            fail()
          }
          string()
          space()
          if (source[at] !== ':') {
            fail()
          }
          ++at
        }
        if (depth > 200) {
          fail()
        }
        value(depth + 1)
        space()
        if (source[at] === close) {
          ++at
          return
        }
        if (source[at] !== ',') {
          fail()
        }
        ++at
      }
    } else if (letter === '"') {
      string()
    } else {
      const plain = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)/.exec(source.slice(at, at + 40))
      if (!plain) {
        fail()
      } else {
        at += plain[0].length
      }
    }
  }
  try {
    value(0)
    space()
  } catch { /* `at` is the place */ }
  return at
}
