// Which models stay in memory, and by whose wish.
import type { Pin, Pins, PinState } from './types.ts'

/** Ollama's lists write the tag out; people and pins may leave it away. */
export const fullName = (model: string) => (model.slice(model.lastIndexOf('/') + 1).includes(':') ? model : `${model}:latest`)

const same = (a: string, b: string) => fullName(a).toLowerCase() === fullName(b).toLowerCase()

/** What a pin keeps on that node; nothing: it is not pinned there. */
export function pinnedOn(pins: Pins | null, model: string, nodeName: string): PinState | undefined {
  return pins?.models.find((each) => each.node === nodeName && same(each.model, model))
}

export const isPinned = (pins: Pins | null, model: string): boolean => pins?.pins.some((each) => same(each.model, model)) ?? false

/** The pin behind one copy: that of the node before one for wherever there is room. */
export function pinBehind(pins: Pins, state: PinState): Pin | undefined {
  const all = pins.pins.filter((each) => same(each.model, state.model))
  return all.find((each) => each.node !== null && each.node === state.node) ?? all.find((each) => each.node === null)
}

/** DELETE this to be rid of a pin that was made at run time. */
export const pinPath = (pin: Pin) => `/herd/v1/pins/${encodeURIComponent(pin.model)}${pin.node === null ? '' : `?node=${encodeURIComponent(pin.node)}`}`
