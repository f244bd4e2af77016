// Light, dark, or what the system says.
import { stored } from './cell.ts'

export type Theme = 'auto' | 'light' | 'dark'
export const theme = stored<Theme>('theme', 'auto', (value) => value === 'auto' || value === 'light' || value === 'dark')

export function isDark(): boolean {
  return theme.value === 'dark' || (theme.value === 'auto' && matchMedia('(prefers-color-scheme: dark)').matches)
}

export function applyTheme(): void {
  document.documentElement.dataset.theme = isDark() ? 'dark' : 'light'
}

export function keepTheme(): void {
  applyTheme()
  theme.subscribe(applyTheme)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', applyTheme)
}

export function nextTheme(): void {
  const order: Theme[] = ['auto', 'light', 'dark']
  theme.update((now) => order[(order.indexOf(now) + 1) % order.length] ?? 'auto')
}
