// Keeps the page current: herd's events as they come (one connection), and a look at everything now and then. Where
// a herd has no events, once a second. Says honestly when it hears nothing any more.
import { ApiError, ask, authorization, troubleOf, messageOf } from './api.ts'
import { Cell } from './cell.ts'
import { History } from './history.ts'
import { EventParser } from './sse.ts'
import type { Health, Node, RequestRecord, Status } from './types.ts'

export type LinkState = 'starting' | 'live' | 'polling' | 'lost' | 'denied' | 'paused'
export interface Link { state: LinkState, heard: number, detail: string }

export const link = new Cell<Link>({ state: 'starting', heard: 0, detail: '' })
export const nodes = new Cell<Node[] | null>(null)
export const status = new Cell<Status | null>(null)
export const health = new Cell<Health | null>(null)
/** Finished requests of this visit, newest first. */
export const finished = new Cell<RequestRecord[]>([])
/** Ticks each second: ages, countdowns and sparklines are drawn with it. */
export const second = new Cell<number>(Date.now())
export const history = new History()

const finishedMax = 20_000
const pollEvery = 1000
const lookEvery = 4000

const pause = (ms: number) => new Promise<void>((done) => { setTimeout(done, ms) })
const byName = (a: Node, b: Node) => a.name.localeCompare(b.name, undefined, { numeric: true })

function heard(state: LinkState, detail = ''): void {
  link.set({ state, heard: Date.now(), detail })
}

function lost(error: unknown): void {
  const denied = error instanceof ApiError && error.trouble === 'denied'
  link.update((now) => ({ ...now, state: denied ? 'denied' : 'lost', detail: error instanceof Error ? error.message : String(error) }))
}

/** Asks for everything that every view needs. Throws ApiError. */
export async function look(): Promise<void> {
  const [now, list] = await Promise.all([ask<Status>('/herd/v1/status'), ask<{ nodes: Node[] }>('/herd/v1/nodes')])
  status.set(now)
  nodes.set([...list.nodes].sort(byName))
}

/** After a change made here, so that it is seen at once. Failure shows at the next look. */
export function lookSoon(): void {
  look().catch(() => undefined)
}

export function takeNode(change: Omit<Partial<Node>, 'state'> & { state?: Node['state'] | 'removed' }): void {
  const id = change.id
  if (id === undefined) {
    lookSoon()
    return
  }
  nodes.update((now) => {
    const known = now?.find((node) => node.id === id)
    if (change.state === 'removed') {
      return now?.filter((node) => node.id !== id) ?? now
    }
    if (!known) {
      return change.name && change.state ? [...(now ?? []), change as Node].sort(byName) : now
    }
    const merged = (now ?? []).map((node) => (node.id === id ? { ...node, ...change } as Node : node))
    return change.name !== undefined && change.name !== known.name ? merged.sort(byName) : merged
  })
}

/** Counts up when events were left out because there were too many: who shows a list asks for it again. */
export const skipped = new Cell(0)

const waitingRecords: RequestRecord[] = []
let recordsScheduled = false

/** Many records a second are shown in one go, four times a second. */
export function takeRecord(record: RequestRecord): void {
  waitingRecords.push(record)
  if (!recordsScheduled) {
    recordsScheduled = true
    setTimeout(() => {
      recordsScheduled = false
      takeRecords(waitingRecords.splice(0).reverse())
    }, 250)
  }
}

/** Puts records, newest first, before or among those known; each id stands once, the newer version of it. */
export function takeRecords(records: RequestRecord[]): void {
  finished.update((now) => mergeRecords(now, records, finishedMax))
}

export function mergeRecords(now: RequestRecord[], more: RequestRecord[], max: number): RequestRecord[] {
  const ids = new Set(more.map((record) => record.id))
  const merged = [...more, ...now.filter((record) => !ids.has(record.id))]
  merged.sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0))
  return merged.slice(0, max)
}

/** An event names the checks that found something; those known before and not named found nothing. */
export function mergeHealth(known: Health | null, now: Health): Health {
  const fine = (known?.checks ?? []).filter((check) => !now.checks.some((each) => each.id === check.id))
  return { ...now, checks: [...now.checks, ...fine.map((check) => ({ ...check, severity: 'ok' as const, findings: [] }))] }
}

function takeEvent(event: string, data: string): void {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch {
    return
  }
  if (event === 'node') {
    takeNode(value as Node)
  } else if (event === 'nodes') {
    nodes.set([...(value as { nodes: Node[] }).nodes].sort(byName))
  } else if (event === 'request') {
    const record = value as RequestRecord & { skipped?: number }
    if (record.id) {
      takeRecord(record)
    } else {
      skipped.update((n) => n + (record.skipped ?? 0))
    }
  } else if (event === 'status') {
    const now = value as Status
    if (now.nodes && now.requests) {
      status.set(now)
    }
  } else if (event === 'health') {
    const now = value as Health
    if (Array.isArray(now.checks)) {
      health.set(mergeHealth(health.value, now))
    }
  }
}

let lastId = ''

/** Reads events until the connection ends or `signal` stops it. False when this herd has no events. */
async function follow(signal: AbortSignal): Promise<boolean> {
  const response = await fetch('/herd/v1/events', {
    signal, cache: 'no-store',
    headers: { Accept: 'text/event-stream', ...authorization(), ...(lastId ? { 'Last-Event-ID': lastId } : {}) }
  })
  if (!response.ok || !response.body || !(response.headers.get('Content-Type') ?? '').startsWith('text/event-stream')) {
    const body = await response.text()
    if (troubleOf(response.status) === 'absent' || response.ok) {
      return false
    }
    throw new ApiError(troubleOf(response.status), response.status, messageOf(body, response.status))
  }
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  const parser = new EventParser()
  heard('live')
  for (;;) {
    const { done, value } = await reader.read()
    if (done) {
      return true
    }
    for (const each of parser.feed(decoder.decode(value, { stream: true }))) {
      takeEvent(each.event, each.data)
    }
    lastId = parser.lastId
    if (Date.now() - link.value.heard > 500 || link.value.state !== 'live') {
      heard('live')
    }
  }
}

/** While events flow, everything is looked at now and then: loads change without an event. */
async function lookAround(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pause(lookEvery)
    if (!signal.aborted) {
      await look().then(() => heard('live'), () => undefined)
    }
  }
}

async function poll(rounds: number): Promise<void> {
  for (let i = 0; i < rounds && !document.hidden; ++i) {
    await pause(pollEvery)
    await look()
    heard('polling', 'this herd has no events')
  }
}

async function once(): Promise<void> {
  await look()
  heard(link.value.state === 'polling' ? 'polling' : 'live')
  const stop = new AbortController()
  const hide = () => { if (document.hidden) { stop.abort() } }
  document.addEventListener('visibilitychange', hide) // a browser has few connections to one address
  const around = lookAround(stop.signal)
  try {
    if (!await follow(stop.signal)) {
      stop.abort()
      await poll(30)
      return
    }
    if (!stop.signal.aborted) {
      throw new ApiError('unreachable', 0, 'the connection to herd ended')
    }
  } catch (error) {
    if (!stop.signal.aborted || !document.hidden) {
      throw error
    }
  } finally {
    stop.abort()
    document.removeEventListener('visibilitychange', hide)
    around.catch(() => undefined)
  }
}

const shown = () => new Promise<void>((done) => {
  const look = () => {
    if (!document.hidden) {
      document.removeEventListener('visibilitychange', look)
      done()
    }
  }
  document.addEventListener('visibilitychange', look)
  look()
})

let wake: () => void = () => undefined

/** Tries again at once, for the button beside "no connection". */
export function retryNow(): void { wake() }

/** For as long as the page lives. */
export async function keepCurrent(): Promise<never> {
  let failures = 0
  setInterval(tick, 1000)
  for (;;) {
    if (document.hidden) {
      link.update((now) => ({ ...now, state: 'paused' }))
      await shown()
    }
    try {
      await once()
      failures = 0
    } catch (error) {
      const known = error instanceof ApiError ? error : new ApiError('unreachable', 0, 'herd cannot be reached')
      lost(known)
      ++failures
      await Promise.race([pause(Math.min(5000, 300 * 2 ** Math.min(failures - 1, 5))), new Promise<void>((done) => { wake = done })])
    }
  }
}

let totalBefore: { total: number, at: number } | null = null

function tick(): void {
  const now = Date.now()
  const fresh = now - link.value.heard < 6000
  const total = status.value?.requests.total
  let perSecond: number | null = null
  if (fresh && total !== undefined) {
    if (totalBefore && now > totalBefore.at && total >= totalBefore.total) {
      perSecond = (total - totalBefore.total) / ((now - totalBefore.at) / 1000)
    }
    totalBefore = { total, at: now }
  }
  history.sample(nodes.value ?? [], fresh, status.value?.requests.queued ?? null, perSecond)
  second.set(now)
}
