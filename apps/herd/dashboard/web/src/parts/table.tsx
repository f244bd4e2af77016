// A table of any length: only the rows in sight exist. Arrow keys move, Enter opens; narrow screens drop columns
// by their `from` width.
import type { ComponentChildren } from 'preact'
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'

export interface Column<Row> {
  key: string
  label: string
  /** A grid track: "7rem", "minmax(8rem, 2fr)". */
  width: string
  /** The track on a phone; else as `width`. */
  narrow?: string
  /** Shown from this width of the table on, in pixels. */
  from?: number
  right?: boolean
  show: (row: Row) => ComponentChildren
  sort?: (row: Row) => number | string
}

interface Props<Row> {
  label: string
  columns: Column<Row>[]
  rows: Row[]
  id: (row: Row) => string
  open?: (row: Row) => void
  sorted?: { key: string, down: boolean }
  rowHeight?: number
  empty?: ComponentChildren
  atEnd?: () => void
  footer?: ComponentChildren
  tone?: (row: Row) => string
}

function inOrder<Row>(rows: Row[], column: Column<Row> | undefined, down: boolean): Row[] {
  const value = column?.sort
  if (!value) {
    return rows
  }
  const sign = down ? -1 : 1
  return rows.map((row) => ({ row, value: value(row) })).sort((a, b) =>
    sign * (typeof a.value === 'number' && typeof b.value === 'number' ? a.value - b.value : String(a.value).localeCompare(String(b.value), undefined, { numeric: true }))
  ).map((each) => each.row)
}

export function Table<Row>(props: Props<Row>) {
  const { columns, rows, id, open, rowHeight = 38 } = props
  const box = useRef<HTMLDivElement>(null)
  const [frame, setFrame] = useState({ top: 0, height: 600, width: 1000 })
  const [chosen, setChosen] = useState<string | null>(null)
  const [order, setOrder] = useState<{ key: string, down: boolean } | null>(props.sorted ?? null)
  const ordered = useMemo(() => inOrder(rows, columns.find((column) => column.key === order?.key), order?.down ?? false), [rows, order, columns])
  const visible = columns.filter((column) => frame.width >= (column.from ?? 0))
  const tracks = visible.map((column) => (frame.width < 480 ? column.narrow ?? column.width : column.width)).join(' ')

  useLayoutEffect(() => {
    const element = box.current
    if (!element) {
      return undefined
    }
    const measure = () => setFrame({ top: element.scrollTop, height: element.clientHeight, width: element.clientWidth })
    const watch = new ResizeObserver(measure)
    watch.observe(element)
    measure()
    return () => watch.disconnect()
  }, [])

  const first = Math.max(0, Math.floor(frame.top / rowHeight) - 8)
  const last = Math.min(ordered.length, Math.ceil((frame.top + frame.height) / rowHeight) + 8)
  const total = ordered.length * rowHeight

  const { atEnd } = props
  useEffect(() => {
    if (atEnd && ordered.length > 0 && frame.top + frame.height > total - 10 * rowHeight) {
      atEnd()
    }
  }, [atEnd, frame, total])

  const move = (to: number) => {
    const index = Math.min(ordered.length - 1, Math.max(0, to))
    const row = ordered[index]
    const element = box.current
    if (!row || !element) {
      return
    }
    setChosen(id(row))
    const head = rowHeight
    const above = index * rowHeight
    if (above < element.scrollTop) {
      element.scrollTop = above
    } else if (above + rowHeight > element.scrollTop + element.clientHeight - head) {
      element.scrollTop = above + rowHeight - element.clientHeight + head
    }
  }
  const onKey = (event: KeyboardEvent) => {
    const at = ordered.findIndex((row) => id(row) === chosen)
    const page = Math.max(1, Math.floor(frame.height / rowHeight) - 2)
    const steps: Record<string, number> = { ArrowDown: at + 1, j: at + 1, ArrowUp: at - 1, k: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: ordered.length - 1 }
    const row = ordered[at]
    if (event.ctrlKey || event.metaKey || event.altKey || (event.target as Element).tagName === 'INPUT') {
      return
    }
    if (event.key in steps) {
      event.preventDefault()
      move(steps[event.key] ?? 0)
    } else if (event.key === 'Enter' && row && open && event.target === box.current) {
      event.preventDefault()
      open(row)
    }
  }
  const sortBy = (column: Column<Row>) => setOrder((now) => (now?.key !== column.key ? { key: column.key, down: typeof column.sort?.(rows[0] as Row) === 'number' }
    : now.down === (typeof column.sort?.(rows[0] as Row) === 'number') ? { key: column.key, down: !now.down } : null))

  return (
    <div class="table">
      <div class="table-box" ref={box} tabIndex={0} role="grid" aria-label={props.label} aria-rowcount={ordered.length} onKeyDown={onKey}
        aria-activedescendant={chosen ? `row-${chosen}` : undefined}
        onScroll={(event) => { const element = event.currentTarget; setFrame((now) => ({ ...now, top: element.scrollTop })) }}>
        <div class="table-row table-head" role="row" style={{ gridTemplateColumns: tracks }}>
          {visible.map((column) => {
            const direction = order?.key === column.key ? (order.down ? 'descending' : 'ascending') : undefined
            return (
              <div key={column.key} role="columnheader" aria-sort={direction} class={column.right ? 'right' : ''}>
                {column.sort ? <button type="button" onClick={() => sortBy(column)}>{column.label}{direction ? <span aria-hidden="true">{order?.down ? ' ↓' : ' ↑'}</span> : null}</button> : column.label}
              </div>
            )
          })}
        </div>
        {ordered.length === 0 ? <div class="table-empty">{props.empty}</div> : null}
        <div class="table-rows" style={{ height: `${total}px` }}>
          {ordered.slice(first, last).map((row, i) => {
            const key = id(row)
            return (
              <div key={key} id={`row-${key}`} role="row" aria-rowindex={first + i + 1} aria-selected={key === chosen}
                class={`table-row ${key === chosen ? 'chosen' : ''} ${open ? 'opens' : ''} ${props.tone?.(row) ?? ''}`}
                style={{ gridTemplateColumns: tracks, height: `${rowHeight}px`, transform: `translateY(${(first + i) * rowHeight}px)` }}
                onClick={(event) => {
                  if (!(event.target as Element).closest('a,button')) {
                    setChosen(key)
                    open?.(row)
                  }
                }}>
                {visible.map((column) => <div key={column.key} role="gridcell" class={column.right ? 'right' : ''}>{column.show(row)}</div>)}
              </div>
            )
          })}
        </div>
      </div>
      {props.footer ? <div class="table-foot">{props.footer}</div> : null}
    </div>
  )
}
