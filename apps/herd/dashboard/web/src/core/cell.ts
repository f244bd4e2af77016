// The whole of the state handling: a value that tells when it changes, and the hook that listens.
import { useEffect, useState } from 'preact/hooks'

export class Cell<T> {
  private readonly listeners = new Set<() => void>()

  constructor(private current: T) {}

  get value(): T { return this.current }

  set(next: T): void {
    if (Object.is(next, this.current)) {
      return
    }
    this.current = next
    for (const listener of [...this.listeners]) {
      listener()
    }
  }

  update(change: (now: T) => T): void { this.set(change(this.current)) }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => { this.listeners.delete(listener) }
  }
}

/** The cell's value; the component is drawn again when it changes. */
export function useCell<T>(cell: Cell<T>): T {
  const [, redraw] = useState(0)
  useEffect(() => {
    const listen = () => redraw((n) => n + 1)
    listen() // what changed between drawing and now
    return cell.subscribe(listen)
  }, [cell])
  return cell.value
}

/** A cell kept in this browser; broken or foreign contents are ignored. */
export function stored<T>(key: string, otherwise: T, valid: (value: unknown) => boolean): Cell<T> {
  let first = otherwise
  try {
    const text = localStorage.getItem(`herd.${key}`)
    const value: unknown = text === null ? undefined : JSON.parse(text)
    if (value !== undefined && valid(value)) {
      first = value as T
    }
  } catch { /* private windows have no storage; the default serves */ }
  const cell = new Cell(first)
  cell.subscribe(() => {
    try {
      localStorage.setItem(`herd.${key}`, JSON.stringify(cell.value))
    } catch { /* full or forbidden: kept for this page only */ }
  })
  return cell
}
