import node from '@astrojs/node'
import { defineConfig } from 'astro/config'

export default defineConfig({
  output: 'server',
  outDir: '.cache/dist',
  cacheDir: '.cache/astro',
  adapter: node({ mode: 'standalone' }),
})
