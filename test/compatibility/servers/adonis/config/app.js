import { defineConfig } from '@adonisjs/core/http'

export const appKey = 'for this test only, at least thirty-two characters'
export const http = defineConfig({ generateRequestId: true, cookie: {} })
