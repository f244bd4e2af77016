// A view's own question to herd, asked again while the view is open.
import { useEffect, useState } from 'preact/hooks'
import { ApiError, ask } from './api.ts'

export interface Polled<T> { data: T | null, error: ApiError | null, again: () => void }

/** `path` null: nothing is asked. What is missing on this herd is asked for seldom. */
export function usePolled<T>(path: string | null, every = 5000): Polled<T> {
  const [state, setState] = useState<{ path: string | null, data: T | null, error: ApiError | null }>({ path, data: null, error: null })
  const [round, setRound] = useState(0)
  useEffect(() => {
    if (path === null) {
      return undefined
    }
    const stop = new AbortController()
    let timer = 0
    const turn = async () => {
      let wait = every
      if (!document.hidden) {
        try {
          const data = await ask<T>(path, { signal: stop.signal })
          setState({ path, data, error: null })
        } catch (error) {
          if (stop.signal.aborted) {
            return
          }
          const known = error instanceof ApiError ? error : new ApiError('failed', 0, String(error))
          wait = known.trouble === 'absent' ? 30_000 : Math.max(every, 3000)
          setState((now) => ({ path, data: now.path === path ? now.data : null, error: known }))
        }
      }
      if (!stop.signal.aborted && every > 0) {
        timer = setTimeout(turn, wait)
      }
    }
    void turn()
    return () => {
      stop.abort()
      clearTimeout(timer)
    }
  }, [path, every, round])
  const current = state.path === path
  return { data: current ? state.data : null, error: current ? state.error : null, again: () => setRound((n) => n + 1) }
}
