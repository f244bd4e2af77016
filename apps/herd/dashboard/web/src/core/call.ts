// Sends one request of the explorer and reports while the answer comes: bytes, words, times.
import { authorization } from './api.ts'
import { describeEmbeddings, type Endpoint, readMessage } from './dialects.ts'
import { EventParser, LineParser } from './sse.ts'

/** `base`: what stands before the path, of a frontend that has one. `host`: the name herd is called by, where that is not
    this page's; a browser cannot say it, so such a request is only written down. */
export interface Outgoing { endpoint: Endpoint, body: string, headers: Record<string, string>, base?: string, host?: string }

export interface Progress {
  status: number
  headers: [string, string][]
  raw: string
  rawBytes: number
  text: string
  thinking: string
  error: string
  /** Milliseconds since sending. */
  headMs: number | null
  firstMs: number | null
  totalMs: number | null
  chunks: number
  outputTokens: number | null
  promptTokens: number | null
  tokensPerS: number | null
  /** While it streams: pieces a second so far. */
  livePerS: number | null
  done: boolean
}

const rawMax = 2 * 1024 * 1024

export const blank = (): Progress => ({
  status: 0, headers: [], raw: '', rawBytes: 0, text: '', thinking: '', error: '', headMs: null, firstMs: null, totalMs: null,
  chunks: 0, outputTokens: null, promptTokens: null, tokensPerS: null, livePerS: null, done: false
})

/** Takes messages into the progress; the first token is the first that is not empty. */
class Reader {
  private readonly lines = new LineParser()
  private readonly events = new EventParser()
  private readonly decoder = new TextDecoder()

  constructor(readonly made: Progress, private readonly endpoint: Endpoint, private readonly type: string, private readonly since: number) {}

  bytes(piece: Uint8Array): void {
    this.made.rawBytes += piece.length
    const text = this.decoder.decode(piece, { stream: true })
    if (this.made.raw.length < rawMax) {
      this.made.raw += text
    }
    if (this.type.startsWith('text/event-stream')) {
      for (const event of this.events.feed(text)) {
        this.message(event.data)
      }
    } else if (this.type.startsWith('application/x-ndjson')) {
      this.lines.feed(text).forEach((line) => this.message(line))
    }
  }

  end(): void {
    const streamed = this.type.startsWith('text/event-stream') || this.type.startsWith('application/x-ndjson')
    if (this.type.startsWith('application/x-ndjson')) {
      this.lines.end().forEach((line) => this.message(line))
    } else if (!streamed && this.made.raw !== '') {
      this.whole(this.made.raw)
    }
    this.made.totalMs = performance.now() - this.since
    if (this.made.tokensPerS === null && this.made.firstMs !== null) {
      const tokens = this.made.outputTokens ?? this.made.chunks
      const seconds = (this.made.totalMs - this.made.firstMs) / 1000
      this.made.tokensPerS = tokens > 1 && seconds > 0.005 ? (tokens - 1) / seconds : null
    }
    this.made.done = true
  }

  private whole(raw: string): void {
    if (this.endpoint.kind === 'text' || this.made.status >= 400) {
      this.message(raw)
      return
    }
    try {
      const json: unknown = JSON.parse(raw)
      this.made.text = (this.endpoint.kind === 'embedding' ? describeEmbeddings(json) : '') || JSON.stringify(json, null, 2)
    } catch {
      this.made.text = raw
    }
  }

  private message(data: string): void {
    let json: unknown
    try {
      json = JSON.parse(data)
    } catch {
      return // "[DONE]", or text that is no JSON: the raw body shows it
    }
    const said = readMessage(this.endpoint.dialect, json)
    if (said.text !== '' || said.thinking !== '') {
      this.made.firstMs ??= performance.now() - this.since
      ++this.made.chunks
      const seconds = (performance.now() - this.since - this.made.firstMs) / 1000
      this.made.livePerS = this.made.chunks > 4 && seconds > 0.1 ? (this.made.chunks - 1) / seconds : null
    }
    this.made.text += said.text
    this.made.thinking += said.thinking
    this.made.error ||= said.error
    this.made.outputTokens = said.outputTokens ?? this.made.outputTokens
    this.made.promptTokens = said.promptTokens ?? this.made.promptTokens
    this.made.tokensPerS = said.tokensPerS ?? this.made.tokensPerS
    if (this.endpoint.kind === 'progress' && said.progress) {
      const lines = this.made.text.split('\n').filter((line) => line !== '')
      const name = said.progress.split(' ').slice(0, 2).join(' ')
      if (lines.at(-1)?.startsWith(name)) {
        lines.pop()
      }
      this.made.text = [...lines, said.progress].join('\n')
    }
  }
}

/** Calls `told` as the answer comes and once at the end. Rejects only when nothing was answered at all. */
export async function send(out: Outgoing, signal: AbortSignal, told: (now: Progress) => void): Promise<Progress> {
  const since = performance.now()
  const hasBody = out.endpoint.method !== 'GET'
  const response = await fetch((out.base ?? '') + out.endpoint.path, {
    method: out.endpoint.method, signal, cache: 'no-store',
    headers: { ...(hasBody ? { 'Content-Type': 'application/json' } : {}), ...authorization(), ...out.headers },
    body: hasBody ? out.body : undefined
  })
  const made = blank()
  made.status = response.status
  made.headers = [...response.headers]
  made.headMs = performance.now() - since
  const reader = new Reader(made, out.endpoint, response.headers.get('Content-Type') ?? '', since)
  told({ ...made })
  try {
    const body = response.body?.getReader()
    for (;;) {
      const { done, value } = body ? await body.read() : { done: true, value: undefined }
      if (done || !value) {
        break
      }
      reader.bytes(value)
      told({ ...made })
    }
  } catch (error) {
    made.error ||= signal.aborted ? 'stopped' : `the answer broke off (${error instanceof Error ? error.message : String(error)})`
  }
  reader.end()
  told({ ...made })
  return made
}
