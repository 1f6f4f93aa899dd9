import { defineConfig } from 'vite'

export default defineConfig({ build: { outDir: '.cache/dist', emptyOutDir: true } })
