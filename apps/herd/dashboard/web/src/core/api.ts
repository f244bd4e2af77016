// Asking herd, and saying in plain words why an answer is not there.
import { stored } from './cell.ts'

/** The key sent with every request, where herd wants one. Kept in this browser only. */
export const apiKey = stored<string>('key', '', (value) => typeof value === 'string')

export type Trouble = 'absent' | 'denied' | 'unreachable' | 'failed'

export class ApiError extends Error {
  constructor(readonly trouble: Trouble, readonly status: number, message: string) {
    super(message)
  }
}

export function authorization(): Record<string, string> {
  return apiKey.value ? { Authorization: `Bearer ${apiKey.value}` } : {}
}

/** Which of the four kinds of trouble a status is. */
export function troubleOf(status: number): Trouble {
  if (status === 404 || status === 405 || status === 501) {
    return 'absent'
  }
  return status === 401 || status === 403 ? 'denied' : 'failed'
}

export function messageOf(body: string, status: number): string {
  try {
    const json = JSON.parse(body) as { error?: string | { message?: string } }
    const error = json.error
    const text = typeof error === 'string' ? error : error?.message
    if (text) {
      return text
    }
  } catch { /* not JSON: say the status */ }
  return `herd answered with status ${status}`
}

export async function ask<T>(path: string, options: { method?: string, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal, patience?: number } = {}): Promise<T> {
  const limit = AbortSignal.timeout(options.patience ?? 10_000)
  const cancel = new AbortController()
  const stop = () => cancel.abort()
  limit.addEventListener('abort', stop)
  options.signal?.addEventListener('abort', stop)
  let response: Response
  let text: string
  try {
    response = await fetch(path, {
      method: options.method ?? 'GET', signal: cancel.signal, cache: 'no-store',
      headers: { Accept: 'application/json', ...authorization(), ...options.headers, ...(options.body === undefined ? {} : { 'Content-Type': 'application/json' }) },
      body: options.body === undefined ? undefined : JSON.stringify(options.body)
    })
    text = await response.text()
  } catch (error) {
    if (options.signal?.aborted) {
      throw error
    }
    throw new ApiError('unreachable', 0, limit.aborted ? 'herd does not answer in time' : 'herd cannot be reached')
  }
  if (!response.ok) {
    throw new ApiError(troubleOf(response.status), response.status, messageOf(text, response.status))
  }
  if (response.status === 204) {
    return undefined as T
  }
  try {
    return JSON.parse(text) as T
  } catch {
    throw new ApiError('failed', response.status, 'the answer is not JSON; is that a herd?')
  }
}
