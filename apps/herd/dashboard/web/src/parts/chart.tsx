// uPlot in this page's colours, as wide as its place, drawn anew when the theme changes.
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { useCell } from '../core/cell.ts'
import { dateAndTime, marks } from '../core/format.ts'
import { theme } from '../core/theme.ts'

export interface Series { label: string, values: (number | null)[], colour?: number, dash?: boolean }

interface Props {
  label: string
  /** Epoch seconds, or numbers when `numbers` is set. */
  x: number[]
  series: Series[]
  show: (value: number) => string
  height?: number
  kind?: 'line' | 'bars' | 'points'
  numbers?: boolean
  stacked?: boolean
  xLabel?: string
  /** What `show` writes behind a small number: marks that it would write alike get more digits then. */
  unit?: string
  /** Only whole numbers make sense: no marks between them. */
  whole?: boolean
}

const variable = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

/** Each series on top of those before it. */
export function stack(series: Series[]): (number | null)[][] {
  const sums: number[] = []
  return series.map((each) => each.values.map((value, i) => (sums[i] = (sums[i] ?? 0) + (value ?? 0))))
}

const wholeSteps = Array.from({ length: 12 }, (_, i) => [1, 2, 5].map((step) => step * 10 ** i)).flat()

/** Clock times for hours, dates for days; seconds only where they tell marks apart. */
export function timeTicks(ticks: number[]): string[] {
  const step = ticks.length > 1 ? (ticks[1] ?? 0) - (ticks[0] ?? 0) : 60
  const two = (n: number) => String(n).padStart(2, '0')
  return ticks.map((tick) => {
    const date = new Date(tick * 1000)
    if (step >= 43_200 || (step >= 3600 && date.getHours() === 0)) {
      return date.toLocaleDateString(undefined, { month: 'short', day: 'numeric' })
    }
    return `${two(date.getHours())}:${two(date.getMinutes())}${step < 60 ? `:${two(date.getSeconds())}` : ''}`
  })
}

function options(props: Props, width: number, values: () => Series[]): uPlot.Options {
  const soft = variable('--soft')
  const line = variable('--line')
  const font = `${Math.round(parseFloat(getComputedStyle(document.documentElement).fontSize) * 0.8)}px system-ui, sans-serif`
  const bars = props.kind === 'bars' ? uPlot.paths.bars?.({ size: [0.75, 40], align: 0 }) : undefined
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { show: false }, font }
  return {
    width, height: props.height ?? 190, padding: [8, 8, 0, 0],
    cursor: { points: { size: 7 }, drag: { x: false, y: false } },
    legend: { live: true },
    scales: { x: { time: !props.numbers }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
    axes: [{ ...axis, grid: { show: false }, size: 30, incrs: props.numbers ? wholeSteps : undefined, space: 64, values: props.numbers ? undefined : (_, ticks) => timeTicks(ticks) }, { ...axis, size: 64, incrs: props.whole ? wholeSteps : undefined, values: (_, ticks) => (props.unit === undefined ? ticks.map(props.show) : marks(ticks, props.show, props.unit)) }],
    series: [
      { label: props.xLabel ?? (props.numbers ? '#' : 'Time'), value: (_, value) => (value === null || value === undefined ? '–' : props.numbers ? String(value) : dateAndTime(value * 1000)) },
      ...props.series.map((each, i): uPlot.Series => {
        const colour = variable(`--s${((each.colour ?? i) % 8) + 1}`)
        return {
          label: each.label, stroke: colour, width: props.kind === 'points' ? 0 : 1.75, dash: each.dash ? [5, 4] : undefined,
          fill: props.kind === 'bars' ? colour : undefined, paths: props.kind === 'points' ? () => null : bars,
          points: props.kind === 'points' ? { show: true, size: 5, fill: colour } : { show: each.values.filter((value) => value !== null).length <= 60 && !bars, size: 5, fill: colour }, spanGaps: false,
          value: (_, __, series, index) => {
            const value = index === null ? null : values()[series - 1]?.values[index]
            return value === null || value === undefined ? '–' : props.show(value)
          }
        }
      })
    ]
  }
}

export function Chart(props: Props) {
  const box = useRef<HTMLDivElement>(null)
  const chart = useRef<uPlot | null>(null)
  const colours = useCell(theme)
  const shape = `${colours}|${props.kind ?? ''}|${props.stacked ?? ''}|${props.series.map((each) => each.label).join('|')}`
  // Bars are drawn back to front, so that the lower parts of a stack lie on top.
  const ordered = props.stacked ? [...props.series].reverse() : props.series
  const heights = props.stacked ? stack(props.series).reverse() : props.series.map((each) => each.values)
  const latest = useRef(ordered)
  latest.current = ordered
  const data: uPlot.AlignedData = [props.x, ...heights]

  useEffect(() => {
    const element = box.current
    if (!element) {
      return undefined
    }
    const coloured = ordered.map((each) => ({ ...each, colour: each.colour ?? props.series.indexOf(each) }))
    const made = new uPlot(options({ ...props, series: coloured }, Math.max(200, element.clientWidth), () => latest.current), data, element)
    chart.current = made
    const watch = new ResizeObserver(() => made.setSize({ width: Math.max(200, element.clientWidth), height: props.height ?? 190 }))
    watch.observe(element)
    const media = matchMedia('(prefers-color-scheme: dark)')
    const redraw = () => made.redraw()
    media.addEventListener('change', redraw)
    return () => {
      watch.disconnect()
      media.removeEventListener('change', redraw)
      made.destroy()
      chart.current = null
    }
  }, [shape])
  useEffect(() => { chart.current?.setData(data) }, [props.x, props.series])
  return <div class="chart" ref={box} role="img" aria-label={props.label} />
}
