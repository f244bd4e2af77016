// What a frontend's fields mean to a person, and how it is reached from this page.
import type { Frontend } from './types.ts'

/** What a client puts in front of /api or /v1, or for a name only the name: DNS and the port are not known here. */
export function endpointsOf(frontend: Frontend): { text: string, note: string }[] {
  const names = (frontend.hostnames ?? []).map((host) => ({ text: host === '*' ? '*' : host, note: host === '*' ? (frontend.source === 'built-in' ? 'any name' : 'any other name') : host.startsWith('*.') ? 'any name below' : '' }))
  const path = frontend.path_prefix ? [{ text: `/f/${frontend.id}`, note: 'on any name' }] : []
  const all = [...names, ...path]
  return all.length ? all : [{ text: '*', note: 'any name' }]
}

export function allowances(frontend: Frontend): [string, boolean][] {
  return [['completions', frontend.allow_completions !== false], ['embeddings', frontend.allow_embeddings !== false], ['changes of models', frontend.allow_model_admin === true],
    ['models of the cloud', frontend.allow_cloud === true], ['retries', frontend.allow_retries !== false]]
}

const limitWords: [string, (value: string) => string][] = [
  ['per_minute', (value) => `${value} a minute`], ['burst', (value) => `bursts of ${value}`], ['max_parallel', (value) => `${value} at a time`], ['max_body', (value) => `bodies up to ${value}`],
  ['connect_timeout', (value) => `connect within ${value}`], ['first_byte_timeout', (value) => `first byte within ${value}`], ['idle_timeout', (value) => `silence up to ${value}`], ['total_timeout', (value) => `whole within ${value}`]
]

/** Only what is limited here: 0 means not. */
export function limitsOf(frontend: Frontend): string[] {
  return limitWords.flatMap(([field, words]) => {
    const value = frontend[field]
    const set = typeof value === 'number' ? value > 0 : typeof value === 'string' && value !== '' && !/^0+[a-z]*$/i.test(value)
    return set ? [words(String(value))] : []
  })
}

const pinWords: Record<string, string> = {
  pinned_completions: 'completions', pinned_completions_ollama: 'completions, Ollama', pinned_completions_openai: 'completions, OpenAI',
  pinned_embeddings: 'embeddings', pinned_embeddings_ollama: 'embeddings, Ollama', pinned_embeddings_openai: 'embeddings, OpenAI'
}

export interface PinnedField { where: string, path: string, value: string }

/** One line for each value: objects are merged deeply into a body, all else replaces. */
export function pinnedFields(frontend: Frontend): PinnedField[] {
  const lines: PinnedField[] = []
  const walk = (where: string, path: string, value: unknown) => {
    if (value !== null && typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length > 0) {
      Object.entries(value).forEach(([key, inner]) => walk(where, path ? `${path}.${key}` : key, inner))
    } else {
      lines.push({ where, path, value: JSON.stringify(value) })
    }
  }
  for (const [field, where] of Object.entries(pinWords)) {
    const value = frontend[field]
    if (value !== null && typeof value === 'object' && Object.keys(value).length > 0) {
      walk(where, '', value)
    }
  }
  return lines
}

/** What is told but cannot be set. */
const shownOnly = new Set(['id', 'source', 'use', 'members', 'missing', 'in_flight', 'created', 'updated'])
export const settable = (frontend: Frontend): Record<string, unknown> => Object.fromEntries(Object.entries(frontend).filter(([key]) => !shownOnly.has(key)))

/** Only what differs, so that what others change meanwhile stays; what was taken out gets its default. */
export function changesOf(before: Record<string, unknown>, after: Record<string, unknown>): Record<string, unknown> {
  const changed = Object.entries(after).filter(([key, value]) => JSON.stringify(before[key]) !== JSON.stringify(value))
  const gone = Object.keys(before).filter((key) => !(key in after)).map((key): [string, unknown] => [key, null])
  return Object.fromEntries([...changed, ...gone])
}

/** The frontend that a host name leads to: exactly, by the longest suffix, by the catch-all. */
export function frontendOfHost(all: Frontend[], host: string): Frontend | undefined {
  const name = host.toLowerCase()
  const fits = (pattern: string) => (pattern === '*' ? 1 : pattern.startsWith('*.') ? (name.endsWith(pattern.slice(1)) ? pattern.length : 0) : pattern === name ? 10_000 : 0)
  const rank = (frontend: Frontend) => Math.max(0, ...(frontend.hostnames ?? []).map((pattern) => fits(pattern.toLowerCase())))
  return all.filter((each) => rank(each) > 0).sort((a, b) => rank(b) - rank(a))[0]
}

/** Where the explorer sends to: a path of this address, or a name that only a page of that name can call by. */
export interface Target { id: string, name: string, base: string, host: string }

export function targetsOf(all: Frontend[], host: string): Target[] {
  const here = frontendOfHost(all, host)
  return all.filter((each) => each.source !== 'built-in' && each !== here).flatMap((each) => {
    const name = (each.hostnames ?? []).find((pattern) => !pattern.includes('*')) ?? ''
    return each.path_prefix || name ? [{ id: each.id, name: each.name ?? each.id, base: each.path_prefix ? `/f/${encodeURIComponent(each.id)}` : '', host: each.path_prefix ? '' : name }] : []
  })
}
