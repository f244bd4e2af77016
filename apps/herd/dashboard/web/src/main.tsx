// Where the page starts. The theme is set before anything is drawn, so that nothing flashes.
import { render } from 'preact'
import { App } from './app.tsx'
import { keepCurrent } from './core/live.ts'
import { followLinks, go, root } from './core/router.ts'
import { keepTheme } from './core/theme.ts'
import './style.css'
import 'uplot/dist/uPlot.min.css'

keepTheme()
document.addEventListener('DOMContentLoaded', () => {
  const app = document.getElementById('app')
  if (!app) {
    return
  }
  if (location.pathname === '/') {
    go(root, true)
  }
  followLinks()
  render(<App />, app)
  void keepCurrent()
})
