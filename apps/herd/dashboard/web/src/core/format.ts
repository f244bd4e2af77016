// Numbers as people read them. Nothing known is a dash, never a zero.

export const none = '–'

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) {
    return none
  }
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let unit = 0
  let rest = Math.abs(value)
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1024
    ++unit
  }
  const digits = unit === 0 || rest >= 100 ? 0 : rest >= 10 ? 1 : 2
  return `${value < 0 ? '-' : ''}${rest.toFixed(digits)} ${units[unit]}`
}

export function percent(value: number | null | undefined): string {
  return value === null || value === undefined || !Number.isFinite(value) ? none : `${Math.round(value * 100)} %`
}

export function count(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) {
    return none
  }
  if (Math.abs(value) >= 1e6) {
    return `${(value / 1e6).toFixed(value >= 1e7 ? 0 : 1)} M`
  }
  return Math.abs(value) >= 1e4 ? `${(value / 1e3).toFixed(value >= 1e5 ? 0 : 1)} k` : String(Math.round(value))
}

/** The marks of an axis, each told from the next: where `show` would say the same of two, as many digits as the step needs, and `unit`. */
export function marks(values: number[], show: (value: number) => string, unit: string): string[] {
  const shown = values.map(show)
  if (new Set(shown).size === shown.length) {
    return shown
  }
  const step = Math.min(...values.slice(1).map((value, i) => Math.abs(value - (values[i] ?? 0))).filter((gap) => gap > 0))
  const digits = Array.from({ length: 9 }, (_, i) => i).find((each) => Math.abs(Number(step.toFixed(each)) / step - 1) < 1e-6) ?? 9
  const exact = values.map((value) => `${value.toFixed(value === 0 ? 0 : digits)}${unit}`)
  return new Set(exact).size > new Set(shown).size ? exact : shown
}

/** Milliseconds: "0.04 ms", "0.4 ms", "83 ms", "1.24 s", "3 min 20 s". */
export function millis(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) {
    return none
  }
  if (value < 1000) {
    return value > 0 && value < 10 ? `${value.toFixed(value < 0.1 ? 2 : 1)} ms` : `${Math.round(value)} ms`
  }
  return value < 60_000 ? `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s` : span(value / 1000)
}

/** Seconds in two units at most: "3 d 4 h", "12 min", "45 s". */
export function span(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) {
    return none
  }
  const whole = Math.max(0, Math.floor(seconds))
  if (whole < 60) {
    return `${whole} s`
  }
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) {
    return minutes < 10 && whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`
  }
  const hours = Math.floor(minutes / 60)
  if (hours < 24) {
    return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`
  }
  const days = Math.floor(hours / 24)
  return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`
}

export function rate(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) {
    return none
  }
  return value >= 100 ? String(Math.round(value)) : value.toFixed(1)
}

export function clock(at: string | number): string {
  const date = new Date(at)
  return Number.isNaN(date.getTime()) ? none : date.toLocaleTimeString(undefined, { hour12: false })
}

export function dateAndTime(at: string | number): string {
  const date = new Date(at)
  return Number.isNaN(date.getTime()) ? none : `${date.toLocaleDateString()} ${date.toLocaleTimeString(undefined, { hour12: false })}`
}

/** "in 4 min" until a model leaves memory; Ollama writes far dates for "never". */
export function untilUnload(expires: string | undefined, now: number): string {
  const at = expires ? Date.parse(expires) : Number.NaN
  if (Number.isNaN(at)) {
    return ''
  }
  const left = (at - now) / 1000
  if (left > 10 * 365 * 86400) {
    return 'stays'
  }
  return left <= 0 ? 'unloading' : span(left)
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`
}

export function shortDigest(digest: string | undefined): string {
  return digest ? digest.replace(/^sha256:/, '').slice(0, 12) : none
}
