// Records as a file for a spreadsheet.
import type { RequestRecord } from './types.ts'

const fields: (keyof RequestRecord)[] = ['at', 'id', 'status', 'termination', 'api', 'path', 'model', 'requested_model', 'node', 'client', 'key', 'tags', 'priority', 'prompt_tokens',
  'cached_tokens', 'output_tokens', 'queue_ms', 'load_ms', 'connect_ms', 'ttft_ms', 'total_ms', 'tokens_per_s', 'bytes_in', 'bytes_out', 'error']

/** One cell: quoted where it must be, and no text that a spreadsheet would take for a formula. */
export function csvCell(value: unknown): string {
  if (value === null || value === undefined) {
    return ''
  }
  const text = Array.isArray(value) ? value.join(' ') : String(value)
  const safe = typeof value !== 'number' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

export function csv(records: RequestRecord[]): string {
  return [fields.join(','), ...records.map((record) => fields.map((field) => csvCell(record[field])).join(','))].join('\r\n') + '\r\n'
}

export function save(name: string, type: string, text: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([text], { type }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}
